// Asks the HTTP API as the page's session does, and turns what it refuses into sentences.

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

const WORDS = [
  [/GET \/v1\/usage/g, "the page “Usage”"],
  [/POST \/v1\/uploads/g, "drop the file again"],
  [/Raise max_cost_usd_micros, or/g, "The price is another by now: look at it again, or"],
];

/** What the API refused: a sentence, where the money is, and what to do next. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || "This did not work.");
    this.status = status;
    this.money = problem.money ?? "";
    this.hint = problem.hint ?? "";
  }

  get sentences() {
    return readable([this.message, this.money, this.hint].filter(Boolean).join(" "));
  }
}

/** The words of the API, which names requests and fields, as somebody reads them who has buttons. */
export function readable(text) {
  return WORDS.reduce((told, [theirs, ours]) => told.replace(theirs, ours), text);
}

/** Ask for JSON. `body` is an object, or a file as it stands. Throws `Refused`, or the signal's AbortError. */
export async function ask(method, path, { body, headers = {}, signal } = {}) {
  const isFile = body instanceof Blob;
  const reply = await send(path, {
    method,
    headers: {
      Accept: "application/json",
      ...(method === "GET" ? {} : { "Stillmotion-Csrf": token }),
      ...(body === undefined ? {} : { "Content-Type": isFile ? body.type || "application/octet-stream" : "application/json" }),
      ...headers,
    },
    body: body === undefined || isFile ? body : JSON.stringify(body),
    signal,
  });
  return reply.status === 204 ? null : reply.json();
}

/** Ask for a page of ours, or a part of one; its document. Throws `Refused`. */
export async function askPage(path) {
  const reply = await send(path, { headers: { Accept: "text/html" } });
  return new DOMParser().parseFromString(await reply.text(), "text/html");
}

async function send(path, options) {
  let reply;
  try {
    reply = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { detail: "The server does not answer.", hint: "Check the connection, then try again." });
  }
  if (reply.ok) return reply;
  if (reply.status === 401) {
    throw new Refused(401, { detail: "You are signed out.", hint: "Load the page again to sign in." });
  }
  throw new Refused(reply.status, await problemOf(reply));
}

async function problemOf(reply) {
  const plain = { detail: `The server answered ${reply.status}.`, hint: "Try again in a moment." };
  if (!(reply.headers.get("Content-Type") ?? "").includes("json")) return plain;
  return reply.json().catch(() => plain);
}
