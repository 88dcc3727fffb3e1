// The gallery: cards, filters, the drawer, and what is on its way.

import { carryOut } from "./acts.js";
import { hideMissingPictures, playWhileLookedAt, put, readOn, refresh, takeOut, titleOf } from "./cards.js";
import * as drawer from "./drawer.js";
import { follow, tellEnd } from "./live.js";
import { tell, tellRefusal } from "./telling.js";

hideMissingPictures();

const grid = document.querySelector("[data-grid]");
const filters = document.querySelector("[data-filters]");

for (const select of filters.querySelectorAll("select")) {
  select.addEventListener("change", () => filters.requestSubmit());
}
filters.addEventListener("formdata", (event) => {
  // An address says only what was chosen.
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});

playWhileLookedAt(grid);
readOn(grid);
grid.addEventListener("click", (event) => {
  const link = event.target.closest(".cover");
  const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  if (!link || elsewhere) return;
  event.preventDefault();
  drawer.open(link);
});
carryOut(grid, async () => {});

carryOut(document.querySelector("[data-drawer]"), async (act, id) => {
  if (act === "delete") {
    drawer.close();
    takeOut(id);
    tell("The video is deleted.");
    return;
  }
  await refresh(id);
  if (act !== "edit") await drawer.reread();
});

async function showAnew(id) {
  const isThere = await refresh(id);
  // What begins elsewhere belongs on top, where everything is shown.
  if (!isThere && location.search === "" && !drawer.shown()) await put(grid, id);
  if (drawer.shown() === id) await drawer.reread();
}

follow(
  (id, status) => {
    const title = titleOf(id);
    showAnew(id)
      .then(() => title !== null && tellEnd(title, status))
      .catch(tellRefusal);
  },
  (ids) => Promise.all(ids.map(showAnew)).catch(tellRefusal),
);
