// Tells a person what happened: a note at the edge of the page, a line in an open dialog, or only aloud.

import { Refused } from "./asking.js";

const SHOWN_MS = 8000;

/** Show a sentence. In an open drawer it stands there: nothing beneath a modal dialog can be read. */
export function tell(sentence, { bad = false } = {}) {
  const open = document.querySelector("dialog[open] [data-said]") ?? document.querySelector("main > .sheet [data-said]");
  if (open) {
    open.textContent = sentence;
    open.classList.toggle("bad", bad);
    open.hidden = false;
    open.scrollIntoView({ block: "nearest" });
    return;
  }
  const note = document.createElement("p");
  note.className = bad ? "telling bad" : "telling";
  note.setAttribute("role", bad ? "alert" : "status");
  note.textContent = sentence;
  document.querySelector("[data-tellings]").append(note);
  setTimeout(() => note.remove(), SHOWN_MS);
}

/** Show why something did not work. What nobody foresaw goes on to the console. */
export function tellRefusal(error) {
  if (!(error instanceof Refused)) throw error;
  tell(error.sentences, { bad: true });
}

/** For readers of screens alone. */
export function sayAloud(sentence) {
  document.querySelector("[data-live]").textContent = sentence;
}

/** Ask once before what can't be undone; whether the answer is yes. */
export function confirmed(question, consequence, yes, no) {
  const dialog = document.querySelector("[data-ask]");
  const texts = { question, consequence, yes, no };
  for (const [name, text] of Object.entries(texts)) dialog.querySelector(`[data-${name}]`).textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
