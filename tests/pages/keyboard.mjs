// A person without a mouse; and a link that signs in by itself.

import assert from "node:assert/strict";

import { origin, signIn, until, visited } from "./browser.mjs";

const focused = (page) =>
  page.evaluate(() => {
    const { tagName, className, textContent, ariaLabel } = document.activeElement;
    return { tagName, className, text: (ariaLabel ?? textContent).trim() };
  });

await visited(async (page) => {
  await signIn(page);
  await page.goto(origin);

  await page.keyboard.press("Tab");
  assert.equal((await focused(page)).text, "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");

  // Reaches the first card by Tab alone; it plays while it has the focus, if it is finished.
  let steps = 0;
  while (!(await focused(page)).className.includes("cover")) {
    await page.keyboard.press("Tab");
    steps += 1;
    assert.ok(steps < 20, "a card is reached");
  }
  const { text } = await focused(page);

  // The drawer takes the focus, keeps it, and gives it back.
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] .generation").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "generation-title");
  for (let tries = 0; tries < 25; tries += 1) {
    await page.keyboard.press("Tab");
    const inside = await page.evaluate(() => {
      const { activeElement } = document;
      return activeElement === document.body || activeElement.closest("dialog[open]") !== null;
    });
    assert.ok(inside, "the focus stays in the drawer");
  }
  await page.keyboard.press("Escape");
  await until(async () => (await page.locator("dialog[open]").count()) === 0, "closed");
  assert.equal((await focused(page)).text, text);

  // Going back closes it, too; so does reloading, which shows the same on a page of its own.
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] .generation").waitFor();
  await page.goBack();
  await until(async () => (await page.locator("dialog[open]").count()) === 0, "closed by going back");
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] .generation").waitFor();
  await page.reload();
  await page.locator("main .generation").waitFor();

  // “Show more” is reached like everything else, and the focus goes on to what it brought.
  await page.goto(origin);
  const before = await page.locator(".card").count();
  const more = page.locator("[data-more]");
  assert.equal(await more.count(), 1, "there is a second page");
  await more.focus();
  await page.keyboard.press("Enter");
  await until(async () => (await page.locator(".card").count()) > before, "more cards");
  assert.equal(await more.count(), 0);
  const ids = await page.locator(".card").evaluateAll((cards) => cards.map((card) => card.dataset.generation));
  assert.equal(new Set(ids).size, ids.length, "each card once");

  // The form: choices by arrows, and what is refused is told beside its field.
  await page.goto(`${origin}/new`);
  await page.getByRole("radio", { name: "720p" }).focus();
  await page.keyboard.press("ArrowLeft");
  assert.ok(await page.getByRole("radio", { name: "480p" }).isChecked());
  await page.locator("#image").setInputFiles({ name: "notes.txt", mimeType: "image/png", buffer: Buffer.from("no picture") });
  const wrong = page.locator("#image-wrong");
  await until(async () => (await wrong.textContent()) !== "", "the refusal");
  assert.match(await wrong.textContent(), /image/);
  assert.equal(await page.locator("#image").getAttribute("aria-invalid"), "true");

  // Another model takes other things; what is filled in stays.
  await page.getByLabel("Prompt", { exact: true }).fill("a calm sea");
  await page.getByLabel("Model", { exact: true }).selectOption({ label: await kandinsky(page) });
  await until(async () => (await page.locator('[name="seed"]').count()) === 0, "no seed");
  assert.ok(await page.locator('[data-field="audio"]').isHidden());
  assert.ok(await page.getByRole("radio", { name: "480p" }).isChecked());
  assert.equal(await page.getByLabel("Prompt", { exact: true }).inputValue(), "a calm sea");
});

async function kandinsky(page) {
  const labels = await page.locator("#model option").allTextContents();
  return labels.find((label) => label.startsWith("Kandinsky"));
}

// A link with a key in its fragment: signs in by itself, and leaves nothing in the address.
await visited(async (page) => {
  await page.goto(`${origin}/sign-in#key=${process.env.SECRET}`);
  await page.waitForURL(`${origin}/`);
  await page.goBack().catch(() => {});
  assert.equal(page.url().includes("sm_"), false);
});
