// Reads and changes single lines of a spec, and leaves all others as the person wrote them.
// The bucket decides what the text means. This only keeps the form and the text alike.

function found(text, name) {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`${name}:`));
  if (start < 0) return { lines, start: -1, end: -1 };
  let end = start + 1;
  // What is indented below a line belongs to it. Empty lines at the end do not.
  while (end < lines.length && /^(\s|$)/.test(lines[end])) end += 1;
  while (end > start + 1 && lines[end - 1].trim() === "") end -= 1;
  return { lines, start, end };
}

// The value of a field as text; empty if the spec does not have it.
export function read(text, name) {
  const { lines, start, end } = found(text, name);
  if (start < 0) return "";
  const first = lines[start].slice(name.length + 1).trim();
  const rest = lines.slice(start + 1, end).map((line) => line.trim());
  if (/^[|>]/.test(first)) return rest.join(first[0] === "|" ? "\n" : " ");
  if (first.startsWith('"') || first.startsWith("[")) {
    try {
      const value = JSON.parse([first, ...rest].join(" "));
      return Array.isArray(value) ? value.join(" ") : value;
    } catch {
      if (first.startsWith("[")) return first.replace(/^\[|\]$/g, "").split(/\s*,\s*/).join(" ");
    }
  }
  if (first.startsWith("'")) return first.slice(1, -1).replaceAll("''", "'");
  return [first.replace(/(^|\s)#.*$/, ""), ...rest].join(" ").trim();
}

// The spec with another value for a field: a text, a number or a list; empty removes the field.
export function write(text, name, value) {
  const { lines, start, end } = found(text, name);
  const isEmpty = value === "" || (Array.isArray(value) && value.length === 0);
  const line = isEmpty ? [] : [`${name}: ${inYaml(value)}`];
  if (start >= 0) lines.splice(start, end - start, ...line);
  else {
    while (lines.length && lines.at(-1).trim() === "") lines.pop();
    lines.push(...line, "");
  }
  return lines.join("\n");
}

// Words that cannot be mistaken for something else need no quotes.
const PLAIN = /^[A-Za-z][A-Za-z0-9 ,.()_/-]*$/;
const NOT_TEXT = /^(true|false|null|yes|no|on|off|y|n)$/i;

function inYaml(value) {
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  const isPlain = PLAIN.test(value) && !NOT_TEXT.test(value) && value === value.trim();
  return isPlain ? value : JSON.stringify(value);
}
