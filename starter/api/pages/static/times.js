// Times on the reader's own clock. The server writes them in UTC, which stands where no script runs.

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/** Rewrite every time below `root`. */
export function localize(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if ("day" in time.dataset) {
      time.textContent = day.format(at);
    } else {
      time.textContent = "ago" in time.dataset ? sinceThen(at) : whole.format(at);
      time.title = whole.format(at);
    }
  }
}

function sinceThen(at) {
  const passed = (Date.now() - at) / 1000;
  for (const [unit, seconds] of UNITS) {
    if (passed >= seconds) return ago.format(-Math.floor(passed / seconds), unit);
  }
  return "just now";
}

/** `95` → `about 2 min`. */
export function inWords(seconds) {
  if (seconds < 90) return `about ${Math.max(5, Math.round(seconds / 5) * 5)} s`;
  return `about ${Math.round(seconds / 60)} min`;
}
