// A browser as a person has it, and what it complains of meanwhile.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

const { ORIGIN, SECRET, SHOTS = "", CHROMIUM = "/usr/bin/chromium" } = process.env;

export { ORIGIN as origin };

export const DESKTOP = { width: 1280, height: 860 };
export const PHONE = { width: 360, height: 740 };

/** Run `act(page, browser)`; fail where the page's scripts fail, or do what its policy forbids. */
export async function visited(act, options = {}) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    // Tests may run as root, where Chromium's own sandbox does not start.
    args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
  });
  try {
    const context = await browser.newContext({ viewport: DESKTOP, ...options });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    const complaints = listened(page);
    try {
      await act(page, context);
    } catch (error) {
      await shot(page, "failed");
      throw new Error(`at ${page.url()}: ${error.stack}\ncomplaints: ${complaints.join("\n")}`);
    }
    assert.deepEqual(complaints, [], "the browser has nothing to complain of");
  } finally {
    await browser.close();
  }
}

function listened(page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.stack}`));
  page.on("console", (message) => {
    // What a server refuses is told by the page; the browser writes a line of its own for it.
    const isRefusal = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isRefusal) complaints.push(`console: ${message.text()}`);
  });
  return complaints;
}

/** Sign in by the form that stands in place of `path`. */
export async function signIn(page, path = "/") {
  await page.goto(ORIGIN + path);
  await page.getByLabel("API key").fill(SECRET);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/** Drop a file onto a place of the form, as from a desktop. */
export async function drop(page, role, name, type, bytes) {
  const transfer = await page.evaluateHandle(
    ({ name, type, encoded }) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    { name, type, encoded: bytes.toString("base64") },
  );
  const place = page.locator(`[data-drop="${role}"]`);
  for (const event of ["dragenter", "dragover", "drop"]) await place.dispatchEvent(event, { dataTransfer: transfer });
}

/** Keep a picture of the page where the environment wants one. */
export async function shot(page, name, options = {}) {
  if (!SHOTS || !existsSync(SHOTS)) return;
  // A bar that stays on top would stand in the middle of a whole page.
  if (options.fullPage) await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(SHOTS, `${name}.png`), ...options });
}

/** Wait until `ask` gives something true. */
export async function until(ask, what) {
  for (let tries = 0; tries < 400; tries += 1) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}
