// What is on its way, as it happens: one stream of events for the whole page. It is closed while nobody looks, since
// a browser opens few connections to one server at a time.

import { sayAloud, tell } from "./telling.js";
import { inWords } from "./times.js";

const STAGES = [
  "accepted", "reserving", "prompting", "staging", "submitting", "unresolved", "generating", "timed_out", "downloading",
  "saving", "settling", "completed", "failed", "cancelled",
];
const ENDS = ["completed", "failed", "cancelled"];
const RETRY_MS_MIN = 2000;
const RETRY_MS_MAX = 60_000;
const CLOSED = 2;

/**
 * Keep what shows a running generation up to date. `changed(id, status)` is told when one begins, parks, goes on or
 * ends, and `returned(ids)` which ones to read anew, after a time in which nobody listened.
 */
export function follow(changed, returned) {
  let stream = null;
  let retryMs = RETRY_MS_MIN;
  let later = 0;

  const heard = (event) => {
    const told = JSON.parse(event.data);
    if (showProgress(told, event.type !== "progress")) changed(told.generation_id, told.status);
  };
  const open = () => {
    stream = new EventSource("/v1/events");
    stream.addEventListener("open", () => {
      retryMs = RETRY_MS_MIN;
    });
    stream.addEventListener("error", () => {
      // What only broke off, the browser opens again, and says what it heard last.
      if (stream?.readyState !== CLOSED) return;
      stop();
      later = setTimeout(resume, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    });
    for (const name of [...STAGES, "progress"]) stream.addEventListener(name, heard);
  };
  const stop = () => {
    clearTimeout(later);
    stream?.close();
    stream = null;
  };
  const resume = () => {
    if (stream) return;
    open();
    const ids = new Set([...document.querySelectorAll("[data-live-card]")].map((each) => each.dataset.generation));
    if (ids.size) returned([...ids]);
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : resume()));
  // A page that is kept for going back must not keep its connection.
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && resume());
  if (!document.hidden) open();
}

/** Write it where the generation stands; whether what stands there is not enough any more. */
function showProgress(told, isStage) {
  const places = document.querySelectorAll(`[data-generation="${CSS.escape(told.generation_id)}"]`);
  let outdated = places.length === 0 && isStage && hasJustBegun(told);
  let named = null;
  for (const place of places) {
    if (ENDS.includes(place.dataset.stage)) continue;
    const bar = place.querySelector("[data-progress]");
    const status = place.querySelector("[data-badge]");
    if (!bar || !status?.classList.contains(told.status)) {
      outdated ||= isStage;
      continue;
    }
    // A stream that begins tells what was before, too.
    if (told.percent < bar.value) continue;
    place.dataset.stage = told.stage;
    status.textContent = words(told.stage);
    bar.value = told.percent;
    place.querySelector("[data-message]").textContent = told.message;
    place.querySelector("[data-left]").textContent = left(told.percent, told.eta_s);
    named = place.querySelector(".cover, [data-title]")?.textContent ?? null;
  }
  if (isStage && named !== null) sayAloud(`${named}: ${told.message}`);
  return outdated;
}

/** Whether it began after this page was read. A stream tells first what had begun before it, too. */
function hasJustBegun(told) {
  const page = document.querySelector("[data-as-of]");
  return page !== null && told.stage === "accepted" && Date.parse(told.at) > Date.parse(page.dataset.asOf);
}

function left(percent, etaS) {
  return etaS ? `${percent} % · ${inWords(etaS)} left` : `${percent} %`;
}

/** `timed_out` → `Timed out`. */
function words(name) {
  return name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** Tell how a generation ended, in words that stand without its card. */
export function tellEnd(title, status) {
  if (status === "completed") tell(`“${title}” is done.`);
  if (status === "failed") tell(`“${title}” failed: open it to see why.`, { bad: true });
}
