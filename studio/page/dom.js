// Builds elements. Text is only ever set as text, so nothing that a person wrote becomes HTML.

export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "list" && !key.startsWith("aria-")) element[key] = value;
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A field with its label, and a hint below the label.
export function field(id, label, control, hint = "") {
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return el(
    "div",
    {},
    el("label", { htmlFor: id }, label),
    hint ? el("p", { id: `${id}-hint`, className: "hint" }, hint) : null,
    control,
  );
}

export function select(options) {
  return el("select", {}, ...options.map(([value, label]) => el("option", { value }, label)));
}

// Takes files that are dropped anywhere on the page. Returns what ends it.
export function dropped(zone, take) {
  const over = (event) => {
    event.preventDefault();
    zone.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  };
  const types = ["dragover", "dragleave", "drop"];
  for (const type of types) addEventListener(type, over);
  return () => types.forEach((type) => removeEventListener(type, over));
}

let forgetting;

// Says something to the person, also to a screen reader.
export function say(text) {
  clearTimeout(forgetting);
  document.getElementById("news").textContent = text;
  forgetting = setTimeout(() => (document.getElementById("news").textContent = ""), 8000);
}

// Does something when a button is pressed, once at a time, and says what went wrong.
export function button(label, act, className = "") {
  const made = el("button", { type: "button", className }, label);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      say(error.message);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}
