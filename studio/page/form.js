// The form beside the text of a spec. It writes single fields of the text, and shows what they say.

import { el, field, select } from "./dom.js";
import { sceneFields } from "./scenes.js";
import { config } from "./session.js";
import { fieldAt, isKnown, read, readScenes, write } from "./spec.js";

const NUMBERS = ["duration_seconds", "variations", "seed", "fps", "slow_motion"];
const TRUTHS = { true: true, false: false };
const OUTPUTS = { gif: "GIF", h265: "H.265", webm: "WebM", scenes: "each scene by itself" };
const LESS_COMMON = ["fps", "slow_motion", "loop", "label", "image", "video", "audio"];
const SLOW_MOTION = [
  ["", "the default (none)"],
  ["1", "none"],
  ["2", "twice as long"],
  ["4", "4 times as long"],
  ["8", "8 times as long"],
];
const LOOP = [
  ["", "the default (no)"],
  ["false", "no"],
  ["true", "yes, as it suits"],
  ["cross-fade", "its end fades into its beginning"],
  ["ping-pong", "forwards and backwards"],
];

function inputsOfFields() {
  const choices = (first, values) => select([["", first], ...values.map((one) => [one, one])]);
  const number = (min, step) => el("input", { type: "number", min, step });
  const file = () => el("input", { maxLength: 1024 });
  return {
    prompt: el("textarea", { rows: 4 }),
    negative_prompt: el("textarea", { rows: 2 }),
    model: choices(`the default (${config.defaultModel})`, config.models),
    preset: choices("the default (standard)", ["draft", "standard", "best"]),
    aspect: choices("the model's own", ["landscape", "square", "portrait"]),
    duration_seconds: number(0.1, "any"),
    variations: number(1, 1),
    seed: number(0, 1),
    fps: number(1, 1),
    slow_motion: select(SLOW_MOTION),
    loop: select(LOOP),
    label: el("input", { maxLength: 40, placeholder: "AI-generated" }),
    image: file(),
    video: file(),
    audio: file(),
  };
}

// What the text in a field of the form is in a spec.
function valueOf(name, text) {
  if (NUMBERS.includes(name) && text !== "") return Number(text);
  return name === "loop" ? (TRUTHS[text] ?? text) : text;
}

function outputBoxes() {
  return Object.fromEntries(
    Object.keys(OUTPUTS).map((one) => [one, el("input", { type: "checkbox", id: `output-${one}` })]),
  );
}

function pair(...of) {
  return el("div", { className: "pair" }, ...of);
}

function lessCommon(inputs, boxes) {
  const outputs = el("fieldset", {}, el("legend", {}, "Also make"));
  for (const [name, box] of Object.entries(boxes)) {
    outputs.append(el("label", { htmlFor: box.id }, box, ` ${OUTPUTS[name]}`));
  }
  return el(
    "details",
    {},
    el("summary", {}, "More"),
    pair(field("fps", "Frames per second", inputs.fps), field("slow-motion", "Slow motion", inputs.slow_motion)),
    pair(field("loop", "Loop", inputs.loop), field("label", "Note in the corner", inputs.label)),
    outputs,
    el("p", { className: "hint" }, "Names of files in the folder:"),
    field("image", "Picture to begin with", inputs.image),
    pair(field("video", "Clip to start from", inputs.video), field("audio", "Sound", inputs.audio)),
  );
}

// Args: `textNow` returns the spec, `change` replaces it, and `zone` is where files are dropped.
export function specForm(textNow, change, zone) {
  const inputs = inputsOfFields();
  const boxes = outputBoxes();
  const scenes = sceneFields(textNow, change);
  const more = lessCommon(inputs, boxes);
  const unknown = el("p", { className: "hint", hidden: true }, "The form cannot show this text. Change it in the text.");
  const form = el(
    "form",
    {},
    field("prompt", "Prompt", inputs.prompt),
    scenes.whole,
    field("negative-prompt", "What it should not show", inputs.negative_prompt),
    zone,
    pair(field("model", "Model", inputs.model), field("preset", "Preset", inputs.preset)),
    pair(field("aspect", "Shape", inputs.aspect), field("seconds", "Seconds", inputs.duration_seconds)),
    pair(field("variations", "Variations", inputs.variations), field("seed", "Seed", inputs.seed)),
    more,
  );
  const whole = el("div", {}, unknown, form);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const [name, input] of Object.entries(inputs)) {
    input.addEventListener("input", () => change(write(textNow(), name, valueOf(name, input.value))));
  }
  for (const box of Object.values(boxes)) {
    box.addEventListener("change", () => {
      const wanted = Object.keys(boxes).filter((name) => boxes[name].checked);
      change(write(textNow(), "outputs", wanted.length ? ["mp4", ...wanted] : []));
    });
  }

  // The form follows the text, but not the field in which the person is writing.
  function show() {
    const text = textNow();
    form.inert = !isKnown(text);
    unknown.hidden = !form.inert;
    if (form.inert) return;
    for (const [name, input] of Object.entries(inputs)) {
      if (input !== document.activeElement) input.value = read(text, name);
    }
    const wanted = read(text, "outputs").split(/[\s,]+/);
    for (const [name, box] of Object.entries(boxes)) box.checked = wanted.includes(name);
    scenes.show();
    // Each scene has a prompt and a length of its own.
    const isOfScenes = readScenes(text)?.length !== 0;
    for (const name of ["prompt", "duration_seconds"]) {
      inputs[name].parentElement.hidden = isOfScenes && read(text, name) === "";
    }
    boxes.scenes.parentElement.hidden = !isOfScenes && !boxes.scenes.checked;
  }

  // Opens what is closed, if the spec says something there.
  function open() {
    const isSaid = LESS_COMMON.some((name) => read(textNow(), name) !== "");
    if (isSaid || Object.values(boxes).some((box) => box.checked)) more.open = true;
  }

  // Marks the fields in which the bucket found mistakes.
  function mark(errors) {
    for (const input of whole.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    for (const { line, file } of errors) {
      if (!line || file) continue; // it is in the defaults of the folder
      const { name, scene } = fieldAt(textNow(), line);
      const input = scene === null ? inputs[name] : scenes.input(name, scene);
      input?.setAttribute("aria-invalid", "true");
    }
    if (more.querySelector("[aria-invalid]")) more.open = true;
  }

  return { whole, show, open, mark };
}
