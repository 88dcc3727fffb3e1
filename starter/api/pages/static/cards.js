// The gallery's cards: the video plays while one looks at it, the star is kept, the next page comes below.

import { ask, askPage, Refused } from "./asking.js";
import { tellRefusal, sayAloud } from "./telling.js";
import { localize } from "./times.js";

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** Take out pictures that are not there: some videos have no still. */
export function hideMissingPictures() {
  document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && event.target.remove(), true);
  for (const picture of document.images) {
    if (picture.complete && picture.naturalWidth === 0) picture.remove();
  }
}

/** Play a card's video, without sound, as long as the pointer or the focus is on it. */
export function playWhileLookedAt(grid) {
  for (const [start, stop] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
    grid.addEventListener(start, (event) => play(cardOf(event.target)));
    grid.addEventListener(stop, (event) => {
      const card = cardOf(event.target);
      if (card && cardOf(event.relatedTarget) !== card) rest(card);
    });
  }
}

function cardOf(target) {
  return target instanceof Element ? target.closest("[data-content].card") : null;
}

function play(card) {
  if (!card || stillness.matches || card.querySelector("video, .veiled")) return;
  const video = document.createElement("video");
  Object.assign(video, { muted: true, loop: true, playsInline: true, src: card.dataset.content });
  // Who can't see it is told nothing new by it: the card's picture and title stand.
  video.setAttribute("aria-hidden", "true");
  video.tabIndex = -1;
  video.addEventListener("error", () => video.remove());
  card.querySelector(".frame").append(video);
  video.play().catch(() => video.remove());
}

function rest(card) {
  const video = card.querySelector("video");
  if (!video) return;
  video.remove();
  // Ends the download.
  video.removeAttribute("src");
  video.load();
}

/** Set or take away a star. */
export async function toggleFavorite(button) {
  const favorite = button.getAttribute("aria-pressed") !== "true";
  show(button.dataset.asset, favorite);
  try {
    await ask("PATCH", `/v1/assets/${encodeURIComponent(button.dataset.asset)}`, { body: { favorite } });
  } catch (error) {
    show(button.dataset.asset, !favorite);
    tellRefusal(error);
  }
}

function show(asset, favorite) {
  for (const button of document.querySelectorAll('[data-act="favorite"]')) {
    if (button.dataset.asset === asset) button.setAttribute("aria-pressed", String(favorite));
  }
}

/** Read a card anew, and put it in the place of the one that stands there; whether there is one still. */
export async function refresh(id) {
  const card = cardNamed(id);
  if (!card) return false;
  const found = await readCard(id);
  const focused = card.contains(document.activeElement) ? document.activeElement.className : null;
  card.replaceWith(found);
  if (focused !== null) found.querySelector(focused.includes("star") ? ".star" : ".cover")?.focus();
  return true;
}

/** What a card is called; null where there is none. */
export function titleOf(id) {
  return cardNamed(id)?.querySelector(".cover").textContent ?? null;
}

/** Put a new card on top. */
export async function put(grid, id) {
  let card;
  try {
    card = await readCard(id);
  } catch (error) {
    // It was deleted meanwhile.
    if (error instanceof Refused && error.status === 404) return;
    throw error;
  }
  if (!cardNamed(id)) grid.prepend(card);
}

function cardNamed(id) {
  return document.querySelector(`.card[data-generation="${CSS.escape(id)}"]`);
}

async function readCard(id) {
  const card = (await askPage(`/cards/${encodeURIComponent(id)}`)).querySelector(".card");
  localize(card);
  return card;
}

/** Take a card out, and give the focus to its neighbour. */
export function takeOut(id) {
  const card = cardNamed(id);
  const neighbour = card?.nextElementSibling ?? card?.previousElementSibling;
  card?.remove();
  (neighbour?.querySelector(".cover") ?? document.querySelector("main")).focus();
}

/** Have “Show more” put the next page below, when it is pressed or comes into sight. */
export function readOn(grid) {
  const link = document.querySelector("[data-more]");
  if (!link) return;
  let reading = false;
  const read = async (byHand) => {
    if (reading) return;
    reading = true;
    link.setAttribute("aria-disabled", "true");
    try {
      const page = await askPage(link.href);
      const cards = [...page.querySelectorAll("[data-grid] > .card")];
      const known = new Set([...grid.children].map((card) => card.dataset.generation));
      const added = cards.filter((card) => !known.has(card.dataset.generation));
      grid.append(...added);
      localize(grid);
      sayAloud(`${added.length} more videos.`);
      if (byHand) added[0]?.querySelector(".cover")?.focus();
      const next = page.querySelector("[data-more]");
      if (next) link.href = next.getAttribute("href");
      else link.remove();
    } catch (error) {
      tellRefusal(error);
      // Only by hand from here: what failed would fail again at each scroll.
      sight.disconnect();
    } finally {
      reading = false;
      link.removeAttribute("aria-disabled");
    }
  };
  const sight = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && read(false), {
    rootMargin: "300px",
  });
  sight.observe(link);
  link.addEventListener("click", (event) => {
    event.preventDefault();
    read(true);
  });
}

