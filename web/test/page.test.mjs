// The operations page in a real Chromium, against running services with data in them.
//
//   SHOPSMART_OPS_URL   where the page is (…/ops/)
//   SHOPSMART_CHROMIUM  the browser's program
//   SHOPSMART_SHOTS     folder for screenshots; none are kept without it
//
// `cargo test -p system-tests operations_page` starts the services and sets these.

import axe from "axe-core";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { live, shots, SIZES, url } from "./browser.mjs";

/** Looks up a shopper and a product that the test data has, so that every panel is filled. */
async function filled(page, shopper = "ada") {
  await page.getByLabel("Id of the shopper").fill(shopper);
  await page.getByRole("region", { name: "A shopper" }).getByRole("button", { name: "Look up" }).click();
  await page.getByRole("region", { name: "History" }).waitFor();
  await page.getByLabel("Id of the product").fill("kettle");
  await page.getByRole("region", { name: "A product" }).getByRole("button", { name: "Look up" }).click();
  await page.getByRole("region", { name: "Neighbours" }).waitFor();
  await page.getByRole("region", { name: "Windows" }).waitFor();
  await page.getByRole("heading", { name: /undecodable/ }).first().waitFor();
}

for (const size of Object.keys(SIZES)) {
  for (const theme of ["light", "dark"]) {
    test(`accessible and without overflow on a ${size} in ${theme}`, () =>
      live({ size, theme }, async (page) => {
        await filled(page);
        if (shots) await page.screenshot({ path: join(shots, `${size}-${theme}.png`), fullPage: true });
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
        assert.deepEqual(found, []);
        const [inner, scrolled] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
        assert.ok(scrolled <= inner, `the page is ${scrolled} px wide in a window of ${inner}`);
      }));
  }
}

test("shows the pipeline, each partition and what became of the events", () =>
  live({}, async (page) => {
    const flow = page.getByRole("region", { name: "Pipeline" });
    assert.deepEqual(await flow.locator("strong").allTextContents(), [
      "events",
      "Shopper stage",
      "product-activity",
      "Product stage",
      "serving store",
    ]);
    const rows = page.getByRole("region", { name: "Partitions" }).getByRole("row");
    // Two partitions of each topic, and the head.
    await page.waitForFunction(() => document.querySelectorAll("[aria-label=Partitions] tbody tr").length === 4);
    assert.equal(await rows.count(), 5);
    const outcomes = await page.locator(".bars dd").allTextContents();
    assert.ok(Number(outcomes[0].replaceAll(",", "")) > 0, `applied: ${outcomes}`);
    assert.ok(Number(outcomes[3]) > 0, `dead letters: ${outcomes}`);
  }));

// Ten times: how soon is measured here, and written down in docs/operations.md.
test("shows a new event's effect by itself", () =>
  live({}, async (page) => {
    await filled(page);
    const [trending, history] = ["Trending now", "History"].map((name) => page.getByRole("region", { name }));
    const applied = page.locator(".bars dd").first();
    const took = { "in the history": [], counted: [], trending: [] };
    for (let round = 0; round < 10; round += 1) {
      const product = `new-${round}-${Date.now()}`;
      // At any moment of the rhythm in which the page asks: else each round would begin at the same one.
      await page.waitForTimeout(Math.random() * 500);
      const before = await applied.textContent();
      assert.equal(await trending.getByText(product).count(), 0);
      // Each trends above those before it.
      const events = Array.from({ length: 20 + round }, (_, at) => ({
        event_type: "purchase",
        user_id: at === 0 ? "ada" : `${product}-${at}`,
        product_id: product,
      }));
      const answer = await fetch(new URL("../events/batch", url), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ events }),
      });
      assert.equal(answer.status, 200);
      const begun = performance.now();
      const shown = async (what, seen) => {
        await seen;
        took[what].push(Math.round(performance.now() - begun));
      };
      // Looked for at each frame: a locator looks less and less often.
      const text = async (of, is) => {
        const [element] = await of.elementHandles();
        return page.waitForFunction(([element, is]) => element.textContent.includes(is), [element, is]);
      };
      await Promise.all([
        shown("in the history", text(history, product)),
        shown("counted", page.waitForFunction((before) => document.querySelector(".bars dd").textContent !== before, before)),
        shown("trending", text(trending, product)),
      ]);
    }
    for (const [what, times] of Object.entries(took)) {
      times.sort((a, b) => a - b);
      console.log(`${what}: median ${times[times.length / 2]} ms, longest ${times.at(-1)} ms`);
    }
  }));

test("explains what a shopper is recommended", () =>
  live({}, async (page) => {
    await filled(page, "cy");
    await page.locator(".reasons li", { hasText: /seen (once|\d+ times) in one session/ }).first().waitFor();
  }));

test("works by keyboard alone, and remembers the theme", () =>
  live({ theme: "light" }, async (page) => {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent?.trim()), "Skip to the figures");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    await page.getByRole("button", { name: "Dark theme" }).focus();
    await page.keyboard.press("Enter");
    const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
    assert.equal(await scheme(), "dark");
    await page.reload();
    await page.locator(".connection.live").waitFor();
    assert.equal(await scheme(), "dark");
  }));

test("names the trace of a dead letter", () =>
  live({}, async (page) => {
    const letters = page.getByRole("region", { name: "Dead letters" }).getByRole("listitem");
    // The embedded log keeps no headers: one letter is given the answer that it would have behind Kafka.
    const id = "4bf92f3577b34da6a3ce929d0e0e4736";
    await letters.first().getByRole("button", { name: /^Trace of/ }).click();
    await letters.first().getByText("none", { exact: true }).waitFor();
    await page.route(/admin\/dead-letters\/\d+\/\d+$/, async (route) => {
      const letter = await (await route.fetch()).json();
      await route.fulfill({ json: { ...letter, traceparent: `00-${id}-00f067aa0ba902b7-01` } });
    });
    await letters.last().getByRole("button", { name: /^Trace of/ }).click();
    await letters.last().getByText(id).waitFor();
    if (shots) await letters.last().screenshot({ path: join(shots, "trace.png") });
  }));

test("shows older dead letters on demand", () =>
  live({}, async (page) => {
    const region = page.getByRole("region", { name: "Dead letters" });
    const letters = region.getByRole("listitem");
    const older = region.getByRole("button", { name: "Older letters" });
    await older.waitFor();
    assert.equal(await letters.count(), 20);
    const newest = await letters.first().getByRole("heading").textContent();
    await older.click();
    await letters.nth(20).waitFor();
    await older.waitFor({ state: "detached" });
    assert.equal(await letters.first().getByRole("heading").textContent(), newest);
    const headings = await letters.getByRole("heading").allTextContents();
    assert.equal(new Set(headings).size, headings.length, `one is there twice: ${headings}`);
  }));

test("redrives a dead letter, once", () =>
  live({}, async (page) => {
    const letters = page.getByRole("region", { name: "Dead letters" });
    const button = letters.getByRole("button", { name: /^Redrive partition/ }).last();
    const name = await button.getAttribute("aria-label");
    await button.click();
    // The first: each letter has one of its own, for its trace.
    const told = letters.getByRole("status").first();
    await page.waitForFunction(() => /redriven/.test(document.querySelector("main").innerText));
    assert.match(await told.textContent(), /offset \d+: redriven/);
    await letters.getByRole("button", { name, exact: true }).waitFor({ state: "detached" });
  }));
