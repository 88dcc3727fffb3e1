// One generation on a page of its own.

import { carryOut } from "./acts.js";
import { hideMissingPictures } from "./cards.js";
import { follow } from "./live.js";

hideMissingPictures();

const shown = document.querySelector(".generation").dataset.generation;

carryOut(document.querySelector("main"), async (act) => {
  if (act === "delete") location.assign("/");
  else if (act !== "edit") location.reload();
});

follow(
  (id) => id === shown && location.reload(),
  () => location.reload(),
);
