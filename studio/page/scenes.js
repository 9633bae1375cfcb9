// The part of the form for a video of several scenes.

import { el, field, say, select } from "./dom.js";
import { MOST_SCENES, addScene, moveScene, read, readScenes, removeScene, write, writeScenes } from "./spec.js";

const TRANSITIONS = [
  ["", "the default: goes on, or cuts to its picture"],
  ["continue", "goes on from the last frame"],
  ["fade", "fades"],
  ["cut", "cuts"],
];

// Args: `textNow` returns the spec, and `change` replaces it.
export function sceneFields(textNow, change) {
  const rows = [];
  const list = el("div");
  const hint = el("p", { className: "hint" });
  const add = el("button", { type: "button" }, "Add a scene");
  const whole = el("fieldset", {}, el("legend", {}, "Scenes"), hint, list, add);

  function changeScene(number, name, value) {
    const scenes = readScenes(textNow());
    scenes[number] = write(scenes[number], name, value);
    change(writeScenes(textNow(), scenes));
  }

  function row(number) {
    const prompt = el("textarea", { rows: 2 });
    const transition = select(TRANSITIONS);
    const more = el("p", { className: "hint" });
    const [up, down, remove] = ["Move up", "Move down", "Remove"].map((label) =>
      el("button", { type: "button", className: "quiet" }, label),
    );
    const name = `scene-${number + 1}`;
    const group = el(
      "fieldset",
      { className: "scene" },
      el("legend", {}, `Scene ${number + 1}`),
      field(name, "What it shows", prompt),
      number ? field(`${name}-transition`, "How it follows", transition) : null,
      more,
      el("div", { className: "row" }, up, down, remove),
    );
    prompt.addEventListener("input", () => changeScene(number, "prompt", prompt.value));
    transition.addEventListener("change", () => changeScene(number, "transition", transition.value));
    const move = (by) => () => {
      const to = number + by;
      change(moveScene(textNow(), number, to));
      say(`Scene ${number + 1} is scene ${to + 1} now.`);
      // The focus goes with the scene. At the end of the list, its button is of no use any more.
      const same = by < 0 ? rows[to].up : rows[to].down;
      (same.disabled ? rows[to].prompt : same).focus();
    };
    up.addEventListener("click", move(-1));
    down.addEventListener("click", move(1));
    remove.addEventListener("click", () => {
      change(removeScene(textNow(), number));
      say(`Scene ${number + 1} is removed.`);
      (rows[Math.min(number, rows.length - 1)]?.prompt ?? add).focus();
    });
    return { group, prompt, transition, more, up, down };
  }

  function fill({ prompt, transition, more, up, down }, scene, number, count) {
    if (prompt !== document.activeElement) prompt.value = read(scene, "prompt");
    transition.value = read(scene, "transition");
    const others = write(write(scene, "prompt", ""), "transition", "").trim();
    more.textContent = others && `Also in the text: ${others.replaceAll("\n", ", ")}`;
    up.disabled = number === 0;
    down.disabled = number === count - 1;
  }

  add.addEventListener("click", () => {
    change(addScene(textNow()));
    say(`Scene ${rows.length} is added.`);
    // If a video of one scene becomes one of two, the first of them may have its prompt already.
    (rows[0].prompt.value ? rows.at(-1) : rows[0]).prompt.focus();
  });

  function hintFor(scenes) {
    if (scenes === null) return "The form cannot show these scenes. Change them in the text.";
    return scenes.length ? "" : `For one video of 2 to ${MOST_SCENES} scenes, one after the other.`;
  }

  function show() {
    const scenes = readScenes(textNow());
    const count = scenes?.length ?? 0;
    while (rows.length > count) rows.pop().group.remove();
    while (rows.length < count) {
      rows.push(row(rows.length));
      list.append(rows.at(-1).group);
    }
    rows.forEach((one, number) => fill(one, scenes[number], number, count));
    add.hidden = scenes === null;
    add.disabled = count >= MOST_SCENES;
    add.textContent = count ? "Add a scene" : "Make several scenes";
    hint.textContent = hintFor(scenes);
  }

  return { whole, show, input: (name, scene) => rows[scene]?.[name] };
}
