// What one can do with a video: the buttons of a card and of a generation.

import { ask } from "./asking.js";
import { toggleFavorite } from "./cards.js";
import { confirmed, tell, tellRefusal } from "./telling.js";

/** Carry out the buttons below `root`. `done(act, id)` is told of what has changed the generation. */
export function carryOut(root, done) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    const act = button && ACTS[button.dataset.act];
    if (!act) return;
    event.preventDefault();
    run(act, button, done);
  });
  root.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-titling]")) return;
    event.preventDefault();
    run(saveTitle, event.target, done);
  });
  root.addEventListener("keydown", (event) => {
    const titling = event.target.closest("[data-titling]");
    if (event.key !== "Escape" || !titling) return;
    // Leaves the field, not the drawer.
    event.preventDefault();
    event.stopPropagation();
    keepTitle(titling);
  });
}

async function run(act, element, done) {
  if (element.dataset.busy) return;
  element.dataset.busy = "yes";
  try {
    await act(element, done);
  } catch (error) {
    tellRefusal(error);
  } finally {
    delete element.dataset.busy;
  }
}

const ACTS = {
  favorite: toggleFavorite,
  edit: editTitle,
  keep: keepTitle,
  unveil,
  resume: (button, done) => steer(button, "resume", "It looks again now.", done),
  cancel,
  delete: remove,
};

function generationOf(element) {
  return element.closest("[data-generation]");
}

async function steer(button, verb, told, done) {
  const id = generationOf(button).dataset.generation;
  await ask("POST", `/v1/generations/${encodeURIComponent(id)}/${verb}`);
  tell(told);
  await done(verb, id);
}

async function cancel(button, done) {
  const sure = await confirmed(
    "Cancel this video?",
    "What the provider has finished by then is kept. What it has begun may be booked.",
    "Cancel it",
    "Let it go on",
  );
  if (sure) await steer(button, "cancel", "The cancel is on its way.", done);
}

async function remove(button, done) {
  const { generation, asset } = generationOf(button).dataset;
  const sure = await confirmed(
    "Delete this video?",
    "Its file is gone for good. What it cost stays booked.",
    "Delete it",
    "Keep it",
  );
  if (!sure) return;
  await ask("DELETE", `/v1/assets/${encodeURIComponent(asset)}`);
  await done("delete", generation);
}

function unveil(button) {
  const screen = button.closest(".veiled");
  screen.classList.remove("veiled");
  button.remove();
  screen.querySelector("video").focus();
}

function titleParts(element) {
  const article = generationOf(element);
  return [article.querySelector("[data-titled]"), article.querySelector("[data-titling]")];
}

function editTitle(button) {
  const [titled, titling] = titleParts(button);
  titled.hidden = true;
  titling.hidden = false;
  titling.elements.title.select();
}

function keepTitle(element) {
  const [titled, titling] = titleParts(element);
  titling.elements.title.value = titled.querySelector("[data-title]").textContent;
  titling.hidden = true;
  titled.hidden = false;
  titled.querySelector('[data-act="edit"]').focus();
}

async function saveTitle(titling, done) {
  const { generation, asset } = generationOf(titling).dataset;
  const path = `/v1/assets/${encodeURIComponent(asset)}`;
  const { title } = await ask("PATCH", path, { body: { title: titling.elements.title.value } });
  titleParts(titling)[0].querySelector("[data-title]").textContent = title;
  keepTitle(titling);
  await done("edit", generation);
}
