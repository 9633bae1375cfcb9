// Reads and changes single fields of a spec, and leaves all others as the person wrote them.
// The bucket decides what the text means. This only keeps the form and the text alike.

// What belongs to a line: what is indented below it, and the items of a list, which need not be.
const BELONGS = /^(\s|$|#|-(\s|$))/;
const FIELD = /^[\w-]+:(\s|$)/;
// What a video of one scene says itself, and what each scene says in a video of several.
const OF_A_SCENE = ["prompt", "image", "duration_seconds", "num_frames"];
export const MOST_SCENES = 12;

// A spec in JSON, such as one from a sidecar, is turned into lines.
function inLines(given) {
  const text = given.replace(/^\uFEFF/, "");
  if (!text.trimStart().startsWith("{")) return text;
  try {
    return fromValues(JSON.parse(text));
  } catch {
    return text;
  }
}

// Whether the form can change a text: each field begins a line, without quotes.
export function isKnown(text) {
  const lines = inLines(text).split("\n").filter((line) => !/^\s*(#|$)/.test(line));
  if (/^---\s*$/.test(lines[0])) lines.shift();
  return lines.every((line, n) => FIELD.test(line) || (n > 0 && BELONGS.test(line)));
}

function found(text, name) {
  const lines = inLines(text).split("\n");
  const start = lines.findIndex((line) => line.startsWith(`${name}:`));
  if (start < 0) return { lines, start: -1, end: -1 };
  let end = start + 1;
  while (end < lines.length && BELONGS.test(lines[end])) end += 1;
  // Empty lines and comments at the end belong to what follows.
  while (end > start + 1 && /^(\s*$|#)/.test(lines[end - 1])) end -= 1;
  return { lines, start, end };
}

// The spec with other lines for a field; none remove it. A text that is not known stays as it is.
function put(text, name, block) {
  if (!isKnown(text)) return text;
  const { lines, start, end } = found(text, name);
  if (start >= 0) lines.splice(start, end - start, ...block);
  else {
    while (lines.length && lines.at(-1).trim() === "") lines.pop();
    lines.push(...block, "");
  }
  return lines.join("\n");
}

// The value of a field as text; empty if the spec does not have it.
export function read(text, name) {
  const { lines, start, end } = found(text, name);
  if (start < 0) return "";
  const first = lines[start].slice(name.length + 1).trim();
  const rest = lines.slice(start + 1, end).map((line) => line.trim());
  if (/^[|>]/.test(first)) return rest.join(first[0] === "|" ? "\n" : " ");
  const all = [first, ...rest].join(" ");
  const quoted = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/.exec(all)?.[0];
  if (quoted?.startsWith("'")) return quoted.slice(1, -1).replaceAll("''", "'");
  if (quoted) {
    try {
      return JSON.parse(quoted);
    } catch {
      return quoted.slice(1, -1); // it has an escape that only YAML has
    }
  }
  if (first.startsWith("[")) return all.replace(/^\[|\]\s*(#.*)?$/g, "").replaceAll(/[",']/g, " ").trim();
  const plain = [first, ...rest].map((line) => line.replace(/(^|\s)#.*$/, "")).join(" ").trim();
  return /^(null|~)$/i.test(plain) ? "" : plain;
}

// The spec with another value for a field: a text, a number, true or a list; empty removes the field.
export function write(text, name, value) {
  const isEmpty = value === "" || (Array.isArray(value) && value.length === 0);
  return put(text, name, isEmpty ? [] : [`${name}: ${inYaml(value)}`]);
}

// Words that cannot be mistaken for something else need no quotes.
const PLAIN = /^[A-Za-z][A-Za-z0-9 ,.()_/-]*$/;
const NOT_TEXT = /^(true|false|null|yes|no|on|off|y|n)$/i;

function inYaml(value) {
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  if (typeof value !== "string") return String(value);
  const isPlain = PLAIN.test(value) && !NOT_TEXT.test(value) && value === value.trim();
  return isPlain ? value : JSON.stringify(value);
}

// A spec with these values. Values that are null are left out.
export function fromValues(values) {
  const { scenes, ...others } = values;
  const text = Object.entries(others)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
    .join("");
  if (!Array.isArray(scenes)) return text;
  return writeScenes(text, scenes.map(sceneOf));
}

function sceneOf(value) {
  return fromValues(typeof value === "string" ? { prompt: value } : value);
}

// The scenes of a spec, each as a small spec of its own. Null: the spec has scenes, but writes them
// in a way that the form does not know.
export function readScenes(text) {
  if (!isKnown(text)) return null;
  const { lines, start, end } = found(text, "scenes");
  if (start < 0) return [];
  const first = lines[start].slice("scenes:".length).replace(/(^|\s)#.*$/, "").trim();
  const rest = lines.slice(start + 1, end);
  if (first.startsWith("[")) {
    try {
      return JSON.parse([first, ...rest].join("\n")).map(sceneOf);
    } catch {
      return null;
    }
  }
  if (first) return /^(null|~)$/i.test(first) ? [] : null;
  return readItems(rest);
}

function readItems(lines) {
  const column = lines.length ? lines[0].search(/\S/) : 0;
  const items = [];
  for (const line of lines) {
    const indent = line.search(/\S/);
    const isItem = indent === column && /^\s*-(\s|$)/.test(line);
    if (isItem) items.push([line]);
    else if (items.length && (indent < 0 || indent > column || line[indent] === "#")) items.at(-1).push(line);
    else return null;
  }
  const scenes = items.map((item) => readItem(item, column));
  return scenes.includes(null) ? null : scenes;
}

function readItem([first, ...rest], column) {
  const value = first.slice(column + 1).trimStart();
  if (/^([{[&*!?#]|-(\s|$))/.test(value) || (value === "" && rest.some((line) => line.trim()))) return null;
  const hasFields = FIELD.test(value);
  // Its first field is in quotes, or has a space before its colon.
  if (!hasFields && /^("[^"]*"|'[^']*'|[^"'#]*)\s*:(\s|$)/.test(value)) return null;
  const inner = hasFields ? first.length - value.length : column;
  const lines = [hasFields ? value : `prompt: ${value}`];
  for (const line of rest) {
    const indent = line.search(/\S/);
    if (indent >= 0 && indent < inner && line[indent] !== "#") return null;
    lines.push(line.slice(indent < 0 ? line.length : Math.min(indent, inner)));
  }
  const scene = lines.join("\n");
  return isKnown(scene) ? scene : null;
}

// The spec with other scenes; none remove the field.
export function writeScenes(text, scenes) {
  return put(text, "scenes", scenes.length ? ["scenes:", ...scenes.flatMap(writeItem)] : []);
}

function writeItem(scene) {
  const [first, ...rest] = (scene.trim() ? scene.trimEnd() : 'prompt: ""').split("\n");
  const isPromptOnly = first.startsWith("prompt:") && rest.every((line) => /^(\s|$|#)/.test(line));
  if (isPromptOnly) return [`  - ${first.slice("prompt:".length).trim()}`, ...rest.map((line) => line && `  ${line}`)];
  return [`  - ${first}`, ...rest.map((line) => line && `    ${line}`)];
}

// What a video of one scene says moves from one spec to another.
function moved(from, to, names) {
  for (const name of names) {
    const { lines, start, end } = found(from, name);
    if (start < 0) continue;
    to = put(to, name, lines.slice(start, end));
    from = put(from, name, []);
  }
  return [from, to];
}

// The spec with one more scene, which is empty. A video of one scene becomes one of two.
export function addScene(text) {
  const scenes = readScenes(text);
  if (scenes.length) return writeScenes(text, [...scenes, ""]);
  const [rest, first] = moved(text, "", OF_A_SCENE);
  return writeScenes(rest, [first, ""]);
}

// The spec without a scene. A single one that is left is no list any more.
export function removeScene(text, number) {
  const left = firstWithoutTransition(readScenes(text).filter((_, n) => n !== number));
  if (left.length > 1) return writeScenes(text, left);
  return left.reduce((to, scene) => moved(scene, to, [...OF_A_SCENE, "seed"])[1], writeScenes(text, []));
}

// The spec with a scene at another place.
export function moveScene(text, number, to) {
  const scenes = readScenes(text);
  const [scene] = scenes.splice(number, 1);
  scenes.splice(to, 0, scene);
  return writeScenes(text, firstWithoutTransition(scenes));
}

// Nothing is before the first scene that it could continue or fade from.
function firstWithoutTransition(scenes) {
  return scenes.map((scene, n) => (n === 0 ? write(scene, "transition", "") : scene));
}

// The spec with a file that was uploaded. A picture is where a video begins: its first scene.
export function addReference(text, field, name) {
  const scenes = readScenes(text);
  if (field !== "image" || scenes?.length === 0) return write(text, field, name);
  if (scenes === null) return text;
  return writeScenes(text, [write(scenes[0], field, name), ...scenes.slice(1)]);
}

// What the video shows first, in words.
export function firstPrompt(text) {
  return read(text, "prompt") || read(readScenes(text)?.[0] ?? "", "prompt");
}

// The field at a line, which is counted from 1, and for a scene its number, which is counted from 0.
export function fieldAt(text, line) {
  const lines = text.split("\n");
  let at = line - 1;
  while (at > 0 && BELONGS.test(lines[at] ?? "")) at -= 1;
  const name = /^(\w+):/.exec(lines[at] ?? "")?.[1] ?? "";
  const before = lines.slice(at + 1, line);
  const column = before.find((one) => /^\s*-/.test(one))?.search("-");
  const scene = before.filter((one) => /^\s*-(\s|$)/.test(one) && one.search("-") === column).length - 1;
  const own = /^(?:\s*-)?\s+(\w+):/.exec(lines[line - 1] ?? "")?.[1];
  return name === "scenes" && scene >= 0 ? { name: own ?? "prompt", scene } : { name, scene: null };
}
