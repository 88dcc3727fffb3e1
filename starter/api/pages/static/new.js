// The form for a new video: what it takes follows the model, its price follows what is in it, and the button that
// starts it says that price. It is never started for more.

import { ask, askPage, Refused } from "./asking.js";
import { DropPlace } from "./dropping.js";
import { Price } from "./price.js";
import { tellRefusal } from "./telling.js";

const form = document.querySelector("[data-new]");
const operation = form.dataset.operation;
const kept = JSON.parse(form.dataset.kept);
const price = new Price(document.querySelector("[data-price]"));
const places = new Map();
for (const field of form.querySelectorAll("[data-field]")) {
  const place = new DropPlace(field, () => look());
  places.set(place.role, place);
}

// One key as long as nothing changes: pressing twice, or again after a lost reply, starts one video.
let idempotencyKey = newKey();
let lastWish = "";

/** The fields of the request, as far as they are filled in. */
function wish() {
  const data = new FormData(form);
  const fields = { operation, source: data.get("source"), model: data.get("model") };
  for (const [role, place] of places) {
    if (place.isShown && place.mediaId) fields[role] = { media_id: place.mediaId };
  }
  for (const element of form.querySelectorAll("[name]")) addParameter(fields, element);
  if (operation === "scene-animation") {
    fields.scene ??= telling("scene", kept.scene);
    fields.story_context ??= telling("story", kept.story_context);
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function addParameter(fields, element) {
  const { name, value, type, dataset } = element;
  if (name.includes(".") || name in fields || type === "file") return;
  if (type === "radio" && !element.checked) return;
  if (dataset.kind === "flag") fields[name] = element.checked;
  else if (value.trim() === "") return;
  else fields[name] = ["integer", "number"].includes(dataset.kind) ? Number(value) : value.trim();
}

/** Scene or story: what stood in the request that is done again, with the form's own fields over it. */
function telling(prefix, before) {
  const told = { ...before };
  for (const element of form.querySelectorAll(`[name^="${prefix}."]`)) {
    const name = element.name.slice(prefix.length + 1);
    if (element.value.trim()) told[name] = element.value.trim();
    else delete told[name];
  }
  return Object.keys(told).length ? told : null;
}

/** What is asked for before there can be a price; null where nothing is missing. */
function missing(fields) {
  if ([...places.values()].some((place) => place.isBusy)) return "The file is on its way.";
  const needed = [];
  if (!fields.image) needed.push("a picture");
  if (operation === "talking-avatar" && !fields.audio) needed.push("a voice");
  if (operation === "image-to-video" && !fields.prompt) needed.push("a prompt");
  if (operation === "scene-animation" && !fields.scene) needed.push("a scene");
  return needed.length ? `Add ${needed.join(" and ")} to see the price.` : null;
}

/** Something may have changed: ask for the price of what there is now. */
function look() {
  const fields = wish();
  const written = JSON.stringify(fields);
  if (written !== lastWish) idempotencyKey = newKey();
  lastWish = written;
  const told = missing(fields);
  if (told) price.waitFor(told);
  else price.askFor(fields);
}

async function start() {
  const fields = wish();
  if (!price.isFor(fields)) {
    // Also what keeps it from being started is told by now; the button stands still so that one can read it.
    look();
    return;
  }
  price.starting(true);
  try {
    const headers = { "Idempotency-Key": idempotencyKey };
    const body = { ...fields, max_cost_usd_micros: price.usdMicros };
    await ask("POST", "/v1/generations", { body, headers });
    location.assign("/");
  } catch (error) {
    price.starting(false);
    if (!(error instanceof Refused)) throw error;
    price.refuse(error);
  }
}

/** Show what another model takes. What is filled in stays, where it fits. */
async function changeModel(model) {
  try {
    const page = await askPage(`/new/parameters?model=${encodeURIComponent(model)}`);
    const found = page.querySelector("[data-parameters]");
    for (const element of found.querySelectorAll("[name]")) restore(element);
    form.querySelector("[data-parameters]").replaceWith(found);
    follow(found);
    look();
  } catch (error) {
    tellRefusal(error);
  }
}

function restore(element) {
  const before = form.elements[element.name];
  if (!before) return;
  if (element.type === "checkbox") element.checked = before.checked;
  else if (element.type !== "radio") element.value = before.value;
  else if (isAmong(element, before.value)) element.checked = element.value === before.value;
}

function isAmong(radio, value) {
  return [...radio.closest("fieldset").querySelectorAll("input")].some((each) => each.value === value);
}

/** Let the rest of the form follow the model whose parameters these are. */
function follow(parameters) {
  const { takes, promptCharactersMax, image, audio, imageBytesMax, audioBytesMax } = parameters.dataset;
  const taken = new Set(takes.split(" "));
  for (const [role, place] of places) {
    if (["audio", "mask_image"].includes(role)) place.isShown = taken.has(role);
  }
  places.get("image").aside = image;
  places.get("image").bytesMax = Number(imageBytesMax);
  places.get("audio").aside = audio;
  places.get("audio").bytesMax = audioBytesMax ? Number(audioBytesMax) : Infinity;
  if (form.elements.prompt) form.elements.prompt.maxLength = Number(promptCharactersMax);
  count();
}

/** Numbers that stand beside their fields: what a slider is at, and how many characters there are once many are. */
function count() {
  for (const output of form.querySelectorAll("output[for]")) output.value = form.elements[output.htmlFor.value].value;
  for (const aside of form.querySelectorAll("[data-count-of]")) {
    const { value, maxLength } = form.elements[aside.dataset.countOf];
    aside.textContent = value.length > maxLength / 2 ? `${value.length} of ${maxLength}` : "";
  }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

form.addEventListener("input", (event) => {
  count();
  if (event.target.name !== "model") look();
});
form.elements.model.addEventListener("change", (event) => changeModel(event.target.value));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
// A file that misses its place must not take the page away.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

follow(form.querySelector("[data-parameters]"));
look();
