// The gallery: what is in the folder, the newest first. It looks again every few seconds.

import { button, el, field, select } from "./dom.js";
import { files } from "./files.js";
import { ask } from "./session.js";

const EVERY_MS = 3000;
const STATES = ["waiting", "queued", "running", "succeeded", "failed", "rejected", "planned", "canceled"];

export function address(path) {
  return `#/job/${encodeURIComponent(path)}`;
}

export function stateWords(entry) {
  const videos = entry.videos > 1 ? ` (${entry.videos} videos)` : "";
  if (entry.state === "running") return `running, ${entry.percent} %${videos}`;
  return entry.state + videos;
}

function card({ entry, poster_link }) {
  const picture = poster_link
    ? el("img", { src: poster_link, alt: "", loading: "lazy" })
    : el("div", { className: "none" });
  const name = el("p", { className: "name" }, entry.path);
  const state = el("p", { className: `state ${entry.state}` }, stateWords(entry));
  const words = el("p", { className: "prompt" }, entry.problem || entry.prompt);
  const about = el("div", { className: "about" }, name, state, words);
  return el("li", {}, el("a", { href: address(entry.path) }, picture, about));
}

// A poster keeps its element while its job does not change, or it would be loaded again and again.
function same(one, other) {
  return JSON.stringify(one?.entry) === JSON.stringify(other?.entry);
}

export function gallery(view) {
  const search = el("input", { type: "search", maxLength: 200 });
  const state = select([["", "all states"], ...STATES.map((one) => [one, one])]);
  const list = el("ul", { className: "cards" });
  const empty = el("p", { className: "hint" });
  const more = button("Show more", () => load(following));
  const filters = el("div", { className: "row" });
  filters.append(field("search", "Search prompts, paths and tags", search), field("state", "State", state));
  for (const one of filters.children) one.classList.add("grow");
  const [uploads, endUploads] = files(() => load(""));
  view.append(el("h1", { tabIndex: -1 }, "Gallery"), filters, uploads, list, empty, el("div", { className: "row" }, more));

  let cards = [];
  let following = null;
  let asked = 0;

  function show(at, shown) {
    shown.forEach((one, n) => {
      const place = at + n;
      if (same(cards[place], one)) return;
      const item = card(one);
      if (list.children[place]) list.children[place].replaceWith(item);
      else list.append(item);
      cards[place] = one;
    });
  }

  function say() {
    more.hidden = following === null;
    const isFiltered = search.value.trim() !== "" || state.value !== "";
    const none = isFiltered ? "Nothing was found." : "Nothing was dropped yet.";
    empty.textContent = cards.length ? "" : following ? "Nothing was found so far." : none;
    more.textContent = isFiltered ? "Search further" : "Show more";
  }

  async function load(after) {
    const mine = ++asked;
    const page = await ask("gallery", { after, search: search.value, state: state.value || null });
    if (mine !== asked) return; // the person has asked for something else since
    show(after ? cards.length : 0, page.cards);
    if (!after) trim(page.cards.length);
    following = page.following;
    say();
  }

  function trim(length) {
    cards.length = length;
    while (list.children.length > length) list.lastElementChild.remove();
  }

  // Only the first page changes by itself, so a person who has gone further is left alone.
  async function refresh() {
    if (document.visibilityState !== "visible" || cards.length > 24) return;
    if (list.contains(document.activeElement)) return refreshInPlace();
    await load("");
  }

  // Somebody is in the list with the keyboard: entries change, but do not move.
  async function refreshInPlace() {
    const page = await ask("gallery", { after: "", search: search.value, state: state.value || null });
    const isSameOrder =
      page.cards.length === cards.length &&
      page.cards.every((one, n) => one.entry.path === cards[n].entry.path);
    if (!isSameOrder) return;
    const at = [...list.children].findIndex((item) => item.contains(document.activeElement));
    show(0, page.cards);
    list.children[at]?.querySelector("a").focus();
  }

  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => load(""), 300);
  });
  state.addEventListener("change", () => load(""));
  const timer = setInterval(() => refresh().catch(() => {}), EVERY_MS);
  load("").catch((error) => (empty.textContent = error.message));
  return () => {
    clearInterval(timer);
    clearTimeout(typing);
    endUploads();
  };
}
