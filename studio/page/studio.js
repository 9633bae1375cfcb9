// Shows the page that the address names.

import { button, el } from "./dom.js";
import { editor } from "./editor.js";
import { gallery } from "./gallery.js";
import { job } from "./job.js";
import { programs } from "./programs.js";
import { comeBack, isSignedIn, signIn, signOut } from "./session.js";

const main = document.getElementById("main");
const leave = document.getElementById("sign-out");
let end = () => {};

function signedOut(view) {
  view.append(
    el("h1", { tabIndex: -1 }, "reeldrop"),
    el("p", {}, "Sign in to see what is in the drop folder, and to make videos."),
    button("Sign in", signIn, "first"),
  );
  return () => {};
}

function page() {
  if (!isSignedIn()) return signedOut;
  const [, name, path] = location.hash.split("/");
  const decoded = path ? decodeURIComponent(path) : "";
  if (name === "new") return (view) => editor(view, decoded);
  if (name === "programs") return programs;
  if (name === "job" && decoded) return (view) => job(view, decoded);
  return gallery;
}

function show() {
  end();
  main.replaceChildren();
  end = page()(main);
  leave.hidden = !isSignedIn();
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.hash === (location.hash || "#/");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = main.querySelector("h1");
  document.title = `${title.textContent} - reeldrop`;
  title.focus();
}

leave.addEventListener("click", signOut);
addEventListener("hashchange", () => {
  if (location.hash !== "#main") show();
});
addEventListener("signedout", show);
await comeBack();
show();
