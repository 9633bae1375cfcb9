// The editor: a form and the text of the spec side by side. The text is what is dropped.

import { button, dropped, el, field, say } from "./dom.js";
import { specForm } from "./form.js";
import { address } from "./gallery.js";
import { ask, upload } from "./session.js";
import { addReference, firstPrompt, fromValues } from "./spec.js";

const QUIET_MS = 500;
const REFERENCES = {
  image: /\.(png|jpe?g|webp|jfif|jpe|pjpeg|pjp)$/i,
  video: /\.(mp4|mov|m4v|qt)$/i,
  audio: /\.(mp3|m4a|wav|aac|flac|ogg|opus)$/i,
};

function slug(text) {
  const words = text.normalize("NFKD").toLowerCase().match(/[a-z0-9]+/g) ?? ["video"];
  return words.slice(0, 5).join("-").slice(0, 40);
}

export function editor(view, from) {
  const text = el("textarea", { rows: 18, className: "text", spellcheck: false });
  const name = el("input", { maxLength: 200, placeholder: "birthday/bee" });
  const verdict = el("div", { className: "verdict" });
  verdict.setAttribute("role", "status");
  const chosen = el("input", { type: "file", multiple: true });
  const zone = el("div", { className: "drop" }, field("files", "Picture, video or sound", chosen, "Choose a file, or drop it anywhere on the page."));
  const form = specForm(() => text.value, change, zone);
  let checking;
  let asked = 0;
  let made = ""; // the name that was made up, so that it stays the same

  function pathNow() {
    if (name.value.trim()) return name.value.trim().replace(/^\/+|\.(yaml|yml|json|txt)$/g, "");
    if (!made) made = `studio/${slug(firstPrompt(text.value))}-${Date.now().toString(36)}`;
    return made;
  }
  const fileNow = () => `${pathNow()}.yaml`;
  const folderNow = () => pathNow().split("/").slice(0, -1).map((one) => `${one}/`).join("");

  function change(now) {
    text.value = now;
    changed();
  }

  function changed() {
    form.show();
    clearTimeout(checking);
    checking = setTimeout(() => check().catch((error) => (verdict.textContent = error.message)), QUIET_MS);
  }

  async function check() {
    const mine = ++asked;
    if (!text.value.trim()) {
      form.mark([]);
      verdict.className = "verdict";
      verdict.replaceChildren("Write a prompt, or a whole spec.");
      return false;
    }
    const plan = await ask("plan", { name: fileNow(), text: text.value });
    if (mine === asked) show(plan);
    return plan.verdict.ok;
  }

  function show({ verdict: found, takes }) {
    form.mark(found.errors);
    verdict.className = `verdict ${found.ok ? "good" : "wrong"}`;
    const errors = found.errors.map((error) =>
      el("li", {}, error.line ? `Line ${error.line}: ` : "", `${error.message} `, el("em", {}, error.hint)),
    );
    const warnings = found.warnings.map((one) => el("li", {}, one.message));
    const count = found.tasks.length;
    const videos = count === 1 ? "1 video" : `${count} videos`;
    const head = found.ok ? `This makes ${videos}${takes ? `: ${takes}` : ""}.` : "The bucket would refuse this:";
    verdict.replaceChildren(head, el("ul", {}, ...errors, ...warnings));
  }

  async function addFiles(list) {
    for (const file of list) {
      const kind = Object.keys(REFERENCES).find((one) => REFERENCES[one].test(file.name));
      if (!kind) {
        say(`${file.name} is no picture, video or sound. Lists and specs are uploaded in the gallery.`);
        continue;
      }
      say(`Uploading ${file.name}`);
      await upload(folderNow() + file.name, file);
      change(addReference(text.value, kind, file.name));
      say(`${file.name} is uploaded.${text.value.includes(file.name) ? "" : " Write its name into the spec."}`);
    }
  }

  async function generate() {
    if (!(await check())) return say("Correct the spec first.");
    await upload(fileNow(), new Blob([text.value], { type: "text/plain" }));
    location.hash = address(pathNow());
  }

  async function enhance() {
    const { dropped, verdict: found } = await ask("enhance", { name: fileNow(), text: text.value });
    if (!dropped) {
      show({ verdict: found, takes: "" });
      return say("Correct the spec first.");
    }
    say("The prompt is being rewritten.");
    for (let tries = 0; tries < 90; tries += 1) {
      await new Promise((done) => setTimeout(done, 1000));
      const state = await ask("job", { path: dropped.path }).then((one) => one, () => null);
      if (state?.card.entry.state === "planned") {
        change(await ask("review", { path: dropped.path }));
        say("The prompt is rewritten. Read it, and change what you like.");
        // It has done its work. If it is still being completed, it stays in the gallery.
        ask("delete", { path: dropped.path }).catch(() => {});
        return undefined;
      }
      if (state?.card.entry.state === "rejected") throw new Error(state.status?.message ?? "It was refused.");
    }
    throw new Error("The language model takes long. The rewritten spec will be in the gallery.");
  }

  text.addEventListener("input", changed);
  name.addEventListener("input", changed);
  const take = (list) => addFiles(list).catch((error) => say(error.message));
  chosen.addEventListener("change", () => take([...chosen.files]));
  const endDrops = dropped(zone, take);

  const right = el(
    "div",
    {},
    field("name", "Name in the folder", name, "Without one, it gets a name from its prompt."),
    field("text", "The spec", text, "What is dropped, as YAML. The form changes it, and it changes the form."),
    verdict,
    el("div", { className: "row" }, button("Enhance", enhance), button("Generate", generate, "first")),
  );
  view.append(el("h1", { tabIndex: -1 }, "New video"), el("div", { className: "two" }, form.whole, right));

  async function start() {
    if (from) {
      const found = await ask("job", { path: from });
      text.value = fromValues(found.spec ?? {});
      const folder = from.split("/").slice(0, -1).map((one) => `${one}/`).join("");
      name.value = `${folder}${from.split("/").at(-1)}-${Date.now().toString(36)}`;
    }
    form.show();
    form.open();
    await check();
  }
  start().catch((error) => say(error.message));
  return () => {
    clearTimeout(checking);
    endDrops();
  };
}
