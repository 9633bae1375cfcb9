// Uploads files as they are: lists, specs, folder defaults, and what they name.

import { dropped, el, field, say } from "./dom.js";
import { upload } from "./session.js";

// Files that others name come first, so that nothing has to wait for them.
function place(name) {
  if (/^_defaults\./i.test(name)) return 1;
  return /\.(yaml|yml|json|txt|csv|tsv|jsonl)$/i.test(name) ? 2 : 0;
}

// Args: `changed` is called when files were uploaded. Returns the element, and what ends it.
export function files(changed) {
  const folder = el("input", { maxLength: 200, placeholder: "birthday" });
  const chosen = el("input", { type: "file", multiple: true });
  const zone = el(
    "details",
    { className: "drop" },
    el("summary", {}, "Upload files"),
    field("folder", "Folder", folder, "Where they go. Without one, they go to the top."),
    field("files", "Lists, specs, pictures and other files", chosen, "Choose files, or drop them anywhere on the page."),
  );

  async function send(list) {
    const names = folder.value.split("/").map((one) => one.trim());
    const into = names.filter((one) => one).map((one) => `${one}/`).join("");
    const problems = [];
    for (const file of [...list].sort((one, other) => place(one.name) - place(other.name))) {
      say(`Uploading ${file.name}`);
      await upload(into + file.name, file).catch((error) => problems.push(error.message));
    }
    const done = list.length - problems.length;
    say([...problems, done ? `${done === 1 ? "1 file is" : `${done} files are`} uploaded.` : ""].join(" "));
    chosen.value = "";
    await changed();
  }

  const take = (list) => send(list).catch((error) => say(error.message));
  chosen.addEventListener("change", () => take([...chosen.files]));
  return [zone, dropped(zone, take)];
}
