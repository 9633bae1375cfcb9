// One job: its progress, its videos, and what a person can do with it.

import { button, el, say } from "./dom.js";
import { address, stateWords } from "./gallery.js";
import { ask } from "./session.js";

const EVERY_MS = 2000;
const OPEN = ["waiting", "queued", "running"];

function links(files) {
  const made = files.map((file) => el("a", { href: file.link, download: file.name }, file.name));
  return el("p", { className: "row" }, ...made);
}

function player(video, prompt) {
  const made = el("video", { src: video.video.link, poster: video.poster.link, controls: true, preload: "metadata" });
  made.setAttribute("playsinline", "");
  made.setAttribute("aria-label", prompt ? `Video: ${prompt}` : video.video.name);
  return el("section", {}, made, links([video.video, ...video.others, video.poster, video.sidecar]));
}

function problem({ message, hint, place }) {
  const where = place.line ? `Line ${place.line}: ` : "";
  return el("li", {}, `${where}${message} `, el("em", {}, hint));
}

function notices(status) {
  if (!status) return null;
  const wrong = [...status.problems, ...status.tasks.map((task) => task.problem).filter(Boolean)];
  const texts = [...wrong.map(problem), ...status.warnings.map((one) => el("li", {}, one.message))];
  if (!texts.length) return null;
  const className = wrong.length ? "verdict wrong" : "verdict";
  return el("div", { className }, el("ul", {}, ...texts));
}

// When a job will probably end, on the clock of the person; empty if nobody knows.
function expectedEnd(status) {
  const at = status?.expected.ends_at;
  if (!at) return "";
  const end = new Date(at);
  const minutes = Math.ceil((end - Date.now()) / 60_000);
  if (minutes <= 0) return "It takes longer than expected.";
  const isToday = end.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: "numeric", month: "short" };
  const clock = end.toLocaleString([], { hour: "2-digit", minute: "2-digit", ...day });
  return `Expected to end at ${clock}, ${minutes > 1 ? `in about ${minutes} minutes` : "within a minute"}.`;
}

// What a person can do with a draft.
function approval(path, view) {
  if (view.card.entry.state !== "succeeded" || view.spec?.preset !== "draft") return null;
  return el(
    "section",
    {},
    el("p", { className: "hint" }, "The final has the same spec and seed, but more steps can give another composition: a draft is no exact preview."),
    button("Make the final", async () => {
      await ask("approve", { path });
      say("The final will be made. It appears in the gallery.");
      location.hash = "#/";
    }, "first"),
  );
}

function actions(path, view, change) {
  const entry = view.card.entry;
  const row = el("div", { className: "row" });
  const go = (to) => (location.hash = to);
  if (OPEN.includes(entry.state)) {
    row.append(
      button("Cancel", async () => {
        await ask("cancel", { path });
        say("The job will be canceled.");
        await change();
      }, "danger"),
    );
    return row;
  }
  if (view.spec) {
    for (const [label, best] of [["Again with another seed", false], ["Again as best", true]]) {
      row.append(
        button(label, async () => {
          const { path: made } = await ask("again", { path, best });
          say("It was dropped again.");
          go(address(made));
        }),
      );
    }
    row.append(el("a", { className: "button", href: `#/new/${encodeURIComponent(path)}` }, "Edit as a new video"));
  }
  const remove = button("Delete", async () => {
    if (remove.dataset.sure !== "yes") {
      remove.dataset.sure = "yes";
      remove.textContent = "Delete for good";
      setTimeout(() => {
        remove.dataset.sure = "";
        remove.textContent = "Delete";
      }, 5000);
      return;
    }
    await ask("delete", { path });
    say(`${path} was deleted.`);
    go("#/");
  }, "danger");
  row.append(remove);
  return row;
}

export function job(view, path) {
  const title = el("h1", { tabIndex: -1 }, path);
  const state = el("p", { className: "state" });
  const message = el("p", {});
  const end = el("p", { className: "hint" });
  const bar = el("progress", { max: 100, hidden: true });
  bar.setAttribute("aria-label", "Progress");
  const rest = el("div");
  view.append(title, state, message, end, bar, rest);
  let shown = "";
  let open = true;
  let timer;

  function show(found) {
    const { entry } = found.card;
    state.className = `state ${entry.state}`;
    state.textContent = stateWords(entry);
    message.textContent = found.status?.message ?? "";
    end.textContent = OPEN.includes(entry.state) ? expectedEnd(found.status) : "";
    bar.hidden = entry.state !== "running";
    bar.value = entry.percent;
    // Links are signed anew with each answer. A video that plays must not be replaced for that.
    const now = JSON.stringify([entry.state, entry.job_id, found.videos.map((one) => one.number), found.scenes.length, found.status?.warnings]);
    if (now === shown) return;
    shown = now;
    const text = found.spec ? el("pre", { className: "text" }, JSON.stringify(found.spec, null, 2)) : null;
    rest.replaceChildren(
      ...[
        notices(found.status),
        ...found.videos.map((video) => player(video, entry.prompt)),
        found.scenes.length ? links(found.scenes) : null,
        approval(path, found),
        actions(path, found, look),
        text ? el("details", {}, el("summary", {}, "The spec"), text) : null,
      ].filter(Boolean),
    );
  }

  async function look() {
    clearTimeout(timer);
    let found;
    try {
      found = await ask("job", { path });
      if (open) show(found);
    } catch (error) {
      if (open && !shown) message.textContent = `${error.message} A new drop takes some seconds to appear.`;
    }
    const hasEnded = found && !OPEN.includes(found.card.entry.state);
    if (open) timer = setTimeout(look, hasEnded ? 5 * EVERY_MS : EVERY_MS);
  }

  look();
  return () => {
    open = false;
    clearTimeout(timer);
  };
}
