// The drawer shows one generation over the gallery. Its content is that generation's own page, which the address bar
// names meanwhile: reloading shows the page, going back closes the drawer.

import { askPage } from "./asking.js";
import { tellRefusal } from "./telling.js";
import { localize } from "./times.js";

const drawer = document.querySelector("[data-drawer]");
const content = drawer?.querySelector("[data-content]");
let gallery = null;
let showing = null;

/** Open the drawer for a card's link. */
export async function open(link) {
  try {
    await fill(link.href);
  } catch (error) {
    tellRefusal(error);
    return;
  }
  gallery = location.href;
  history.pushState({ drawer: true }, "", link.href);
  showing = shownIn(content);
  drawer.showModal();
  drawer.scrollTop = 0;
  drawer.querySelector("#generation-title").focus();
}

/** Read the open generation anew. */
export async function reread() {
  if (!drawer?.open) return;
  const scrolled = drawer.scrollTop;
  const hadFocus = content.contains(document.activeElement);
  await fill(location.href);
  drawer.scrollTop = scrolled;
  if (hadFocus) drawer.querySelector("#generation-title").focus({ preventScroll: true });
}

/** The id of the generation that the drawer shows; null where it is closed. */
export function shown() {
  return drawer?.open ? showing : null;
}

function linkTo(id) {
  return document.querySelector(`.card[data-generation="${CSS.escape(id)}"] .cover`);
}

function shownIn(root) {
  return root.querySelector("[data-generation]").dataset.generation;
}

/** Close it, as its button does. */
export function close() {
  drawer.close();
}

async function fill(address) {
  const article = (await askPage(address)).querySelector(".generation");
  localize(article);
  content.replaceChildren(article);
}

drawer?.querySelector("[data-close]").addEventListener("click", close);
drawer?.addEventListener("click", (event) => {
  // Only the dialog's own ground outside of its content: a press beside the drawer.
  if (event.target === drawer && event.clientX < drawer.getBoundingClientRect().left) close();
});
drawer?.addEventListener("close", () => {
  // Ends playing and loading.
  content.replaceChildren();
  if (gallery !== null && location.href !== gallery) history.back();
  gallery = null;
  // The browser gives the focus back to the link that opened it, unless its card was read anew meanwhile.
  if (document.activeElement === document.body) linkTo(showing)?.focus();
});
addEventListener("popstate", () => {
  if (!drawer?.open) return;
  gallery = null;
  drawer.close();
});
