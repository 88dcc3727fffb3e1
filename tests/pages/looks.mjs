// How every page looks: in light and in dark, on a desk and on a phone; and what axe-core says of it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { DESKTOP, PHONE, origin, shot, signIn, until, visited } from "./browser.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const { GENERATION } = process.env;
const PAGES = {
  gallery: "/",
  nothing: "/?q=zebra",
  video: `/generations/${GENERATION}`,
  "new-image": "/new",
  "new-scene": "/new?operation=scene-animation",
  "new-avatar": "/new?operation=talking-avatar",
  usage: "/usage",
  missing: "/generations/gen_none",
};
const findings = [];
const wide = [];

for (const [screen, viewport] of Object.entries({ desk: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["light", "dark"]) {
    const look = `${screen}-${colorScheme}`;
    await visited(
      async (page) => {
        await page.goto(origin);
        await seen(page, `sign-in-${look}`);
        await signIn(page);
        for (const [name, path] of Object.entries(PAGES)) {
          await page.goto(origin + path);
          await seen(page, `${name}-${look}`);
        }
        await page.goto(`${origin}/new?operation=scene-animation`);
        for (const more of await page.locator("details.further").all()) await more.evaluate((each) => (each.open = true));
        await seen(page, `new-scene-open-${look}`);
        await page.goto(`${origin}/usage`);
        await page.getByText("As a table").click();
        await seen(page, `usage-table-${look}`);
        if (screen === "phone") await assertStill(page);
        await page.goto(origin);
        await page.locator(".card[data-content] .cover").first().click();
        await page.locator("dialog[open] .generation").waitFor();
        await until(
          () => page.locator("dialog[open]").evaluate((each) => each.getAnimations().every(({ playState }) => playState !== "running")),
          "the drawer is in its place",
        );
        await seen(page, `drawer-${look}`, { fullPage: false });
        await page.locator("dialog[open]").getByRole("button", { name: "Delete" }).click();
        await page.locator("[data-ask][open]").waitFor();
        await seen(page, `ask-${look}`, { fullPage: false });
      },
      { viewport, colorScheme, reducedMotion: screen === "phone" ? "reduce" : "no-preference" },
    );
  }
}

async function assertStill(page) {
  await page.goto(origin);
  await page.locator(".card[data-content]").first().hover();
  await page.waitForTimeout(300);
  assert.equal(await page.locator(".card video").count(), 0, "nothing plays by itself");
  const moving = await page.evaluate(() => document.getAnimations().filter((each) => each.playState === "running").length);
  assert.equal(moving, 0, "nothing moves");
}

async function seen(page, name, options = { fullPage: true }) {
  await page.evaluate(() => [...document.images].forEach((each) => (each.loading = "eager")));
  await page.waitForFunction(() => [...document.images].every((each) => each.complete));
  await shot(page, name, options);
  // By the debugger: the page's own policy lets no script of ours in.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  for (const { id, impact, help, nodes } of violations) {
    if (impact === "serious" || impact === "critical") findings.push({ name, id, help, where: nodes.map((node) => node.html) });
  }
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) wide.push(`${name}: ${over} px`);
}

assert.deepEqual(findings, [], "no serious accessibility finding");
assert.deepEqual(wide, [], "nothing is wider than its screen");
