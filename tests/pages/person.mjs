// What a person does: signs in, drops a picture, sees what it costs, starts, watches the card, plays the video, finds it
// by text, deletes it, signs out.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { drop, origin, shot, signIn, until, visited } from "./browser.mjs";

const PICTURE = await readFile(process.env.PICTURE);
const PROMPT = "a lighthouse blinks while waves roll in";

await visited(async (page) => {
  await signIn(page);
  await page.getByText("Your first video starts with a picture").waitFor();
  await page.getByRole("link", { name: "New video" }).first().click();

  // Drops a picture, and sees the estimate before anything is spent.
  const status = page.locator("[data-price] [data-status]");
  await until(async () => (await status.textContent()) === "Add a picture and a prompt to see the price.", "what is missing");
  await drop(page, "image", "lighthouse.jpg", "image/jpeg", PICTURE);
  await page.getByAltText("Preview of lighthouse.jpg").waitFor();
  await page.getByLabel("Prompt", { exact: true }).fill(PROMPT);
  await page.getByText("480p", { exact: true }).click();
  const start = page.locator("[data-start]");
  await until(async () => (await start.textContent()) === "Start for $0.25", "the price");
  assert.equal(await start.getAttribute("aria-disabled"), "false");
  assert.equal(await page.locator("[data-video]").textContent(), "5 s, 720x480");
  await shot(page, "new-filled", { fullPage: true });

  // Starts, and watches the card live.
  await start.click();
  await page.waitForURL(`${origin}/`);
  const card = page.locator(".card").first();
  await card.getByText(PROMPT).waitFor();
  const percents = [];
  await until(async () => {
    const bar = card.locator("progress");
    if ((await bar.count()) === 0) return true;
    const percent = await bar.getAttribute("value").catch(() => null);
    if (percent !== null && percent !== percents.at(-1)) percents.push(Number(percent));
    if (percents.length === 2) await shot(page, "gallery-running");
    return false;
  }, "the video");
  assert.ok(percents.length >= 2, `the card went on by itself: ${percents}`);
  assert.deepEqual(percents, percents.toSorted((a, b) => a - b), "and never backwards");
  await card.locator('img[alt^="A frame of"]').waitFor();
  await page.getByText("is done.").waitFor();

  // It plays, without sound, while the pointer is on it.
  await card.hover();
  await until(() => card.locator("video").evaluate((video) => video.currentTime > 0 && video.muted), "playing in the card");
  await page.mouse.move(2, 2);
  await until(async () => (await card.locator("video").count()) === 0, "rest");

  // In the drawer it plays, and says what is known of it.
  await card.getByRole("link").click();
  const drawer = page.locator("dialog[data-drawer]");
  await page.getByRole("dialog", { name: PROMPT }).waitFor();
  const id = await drawer.locator(".generation").getAttribute("data-generation");
  assert.equal(page.url(), `${origin}/generations/${id}`);
  const video = drawer.locator("video");
  await video.evaluate((element) => Object.assign(element, { muted: true }).play());
  await until(() => video.evaluate((element) => element.currentTime > 0 && element.videoWidth > 0), "playing");
  for (const fact of ["$0.25", "as it was given", "alibaba/wan-2.5/image-to-video", "another one each time", id]) {
    assert.ok(await drawer.getByText(fact).first().isVisible(), fact);
  }
  assert.match(await drawer.locator("dt:text-is('SHA-256') + dd").textContent(), /^[0-9a-f]{64}$/);
  assert.match(
    await drawer.getByRole("link", { name: /Temporal/ }).getAttribute("href"),
    new RegExp(`/namespaces/default/workflows/${id}$`),
  );
  await shot(page, "drawer");

  const [download] = await Promise.all([
    page.waitForEvent("download"),
    drawer.getByRole("link", { name: "Download" }).click(),
  ]);
  const saved = await readFile(await download.path());
  assert.equal(saved.subarray(4, 8).toString(), "ftyp", "an MP4 was saved");

  // Gives it a star and a name, and is back where it was.
  await drawer.getByRole("button", { name: "Favorite" }).click();
  await until(async () => (await card.locator(".star").getAttribute("aria-pressed")) === "true", "the star");
  await drawer.getByRole("button", { name: "Edit the title" }).click();
  await drawer.getByLabel("Title", { exact: true }).fill("Guiding light");
  await page.keyboard.press("Enter");
  await drawer.getByRole("heading", { name: "Guiding light" }).waitFor();
  await card.getByText("Guiding light").waitFor();
  await page.keyboard.press("Escape");
  await until(async () => !(await drawer.isVisible()), "closed");
  await page.waitForURL(`${origin}/`);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Guiding light");

  // Finds it by its words and its star.
  const search = page.getByRole("searchbox");
  await search.fill("zebra");
  await search.press("Enter");
  await page.getByText("Nothing found").waitFor();
  await search.fill("guiding");
  await search.press("Enter");
  await page.waitForURL((url) => url.searchParams.get("q") === "guiding");
  await page.locator(".card").getByText("Guiding light").waitFor();
  await page.goto(`${origin}/?status=favorite`);
  await page.locator(".card").getByText("Guiding light").waitFor();

  // What it made once, it can make again: only the price is asked for.
  await page.goto(`${origin}/generations/${id}`);
  await page.getByRole("link", { name: "Again" }).click();
  await page.getByAltText("Preview of The same as before").waitFor();
  assert.equal(await page.getByLabel("Prompt", { exact: true }).inputValue(), PROMPT);
  await until(async () => (await start.textContent()) === "Start for $0.25", "the price again");

  // Deletes it, after being asked once.
  await page.goto(origin);
  await page.locator(".card").getByRole("link").click();
  await drawer.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Keep it" }).click();
  assert.ok(await drawer.isVisible());
  await drawer.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByText("The video is deleted.").waitFor();
  assert.equal(await page.locator(".card").count(), 0);
  await page.waitForURL(`${origin}/`);
  await page.getByText("Your first video starts with a picture").waitFor();
  await page.reload();
  await page.getByText("Your first video starts with a picture").waitFor();

  await page.goto(`${origin}/usage`);
  await page.getByText("$0.25").first().waitFor();
  await page.locator("details.who summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to Stillmotion" }).waitFor();
  assert.equal((await page.goto(origin)).status(), 401);
});
