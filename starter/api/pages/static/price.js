// What the form's content costs now, asked for a moment after it changed; the answer of an older content is dropped.

import { ask, readable, Refused } from "./asking.js";
import { inWords } from "./times.js";

const PAUSE_MS = 350;
const MICROS = 1_000_000;

/** `250000` → `$0.25`; what is below a cent keeps its digits. */
export function dollars(usdMicros) {
  const digits = (usdMicros / MICROS).toFixed(6).replace(/0{1,4}$/, "");
  return `$${digits}`;
}

/** The panel with the price, its refusal and the button that starts. */
export class Price {
  #panel;
  #timer = 0;
  #asking = null;
  #quotedFor = null;
  #askedFor = null;
  usdMicros = null;

  constructor(panel) {
    this.#panel = panel;
  }

  /** Whether the price that is shown is the one of these fields, and would be granted. */
  isFor(fields) {
    return this.#quotedFor !== null && this.#quotedFor === JSON.stringify(fields);
  }

  /** There can be no price yet: say what is missing. */
  waitFor(sentence) {
    this.#forget();
    this.#show({ status: sentence });
  }

  /** Ask for the price of these fields. */
  askFor(fields) {
    const written = JSON.stringify(fields);
    if (written === this.#askedFor) return;
    this.#forget();
    this.#askedFor = written;
    this.#show({ status: "Asking for the price…", busy: true, keepAmount: true });
    this.#timer = setTimeout(() => this.#ask(fields, written), PAUSE_MS);
  }

  /** A start was refused. What may pass by itself can be pressed again, at the same price and under the same key. */
  refuse(error) {
    const mayPass = error.status === 0 || error.status === 429 || error.status >= 500;
    const amount = this.usdMicros === null ? "–" : dollars(this.usdMicros);
    if (!mayPass) this.#forget();
    this.#show({ amount: mayPass ? amount : "–", refusal: error.sentences });
  }

  /** While the start is on its way. */
  starting(isStarting) {
    const button = this.#part("start");
    button.textContent = isStarting ? "Starting…" : this.#label();
    button.setAttribute("aria-disabled", String(isStarting));
  }

  async #ask(fields, written) {
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const told = await ask("POST", "/v1/estimates", { body: fields, signal: asking.signal });
      if (this.#asking !== asking) return;
      this.#quoted(told, written);
    } catch (error) {
      if (error.name === "AbortError" || this.#asking !== asking) return;
      if (!(error instanceof Refused)) throw error;
      this.#askedFor = null;
      this.#show({ refusal: error.sentences });
    }
  }

  #quoted({ quote, allowed, refusal, usage }, written) {
    this.usdMicros = quote.cost_usd_micros;
    this.#quotedFor = allowed ? written : null;
    const parts = {
      video: `${Number(quote.duration_s.toFixed(1))} s, ${quote.width}x${quote.height}`,
      "takes-time": inWords(quote.expected_s),
      "videos-left": usage.videos_remaining === null ? "unlimited" : String(usage.videos_remaining),
      "money-left": usage.remaining_usd_micros === null ? "unlimited" : dollars(usage.remaining_usd_micros),
    };
    for (const [name, text] of Object.entries(parts)) this.#part(name).textContent = text;
    this.#show({
      amount: dollars(this.usdMicros),
      status: allowed ? `It would cost ${dollars(this.usdMicros)}.` : "",
      refusal: allowed ? "" : readable([refusal.message, refusal.hint].join(" ")),
    });
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = null;
    this.#askedFor = null;
    this.#quotedFor = null;
    this.usdMicros = null;
  }

  #show({ amount = "–", status = "", refusal = "", busy = false, keepAmount = false }) {
    this.#panel.setAttribute("aria-busy", String(busy));
    if (!keepAmount) {
      this.#part("amount").textContent = amount;
      this.#part("quote").hidden = amount === "–";
    }
    this.#part("status").textContent = status;
    const refused = this.#part("refused");
    refused.textContent = refusal;
    refused.hidden = !refusal;
    const button = this.#part("start");
    button.textContent = this.#label();
    button.setAttribute("aria-disabled", String(this.#quotedFor === null));
  }

  #label() {
    return this.#quotedFor === null ? "Start" : `Start for ${dollars(this.usdMicros)}`;
  }

  #part(name) {
    return this.#panel.querySelector(`[data-${name}]`);
  }
}
