// The browser that tests look through, and what they look at; see page.test.mjs for the variables.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const url = process.env.SHOPSMART_OPS_URL;
export const shots = process.env.SHOPSMART_SHOTS;
const executablePath = process.env.SHOPSMART_CHROMIUM;
assert.ok(url && executablePath, "SHOPSMART_OPS_URL and SHOPSMART_CHROMIUM are wanted");

export const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };

let browser;

before(async () => {
  if (shots) mkdirSync(shots, { recursive: true });
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath, args });
});

after(() => browser?.close());

/** The page at a size and in a theme; `run` gets it. Nothing may fail on the way but what `expected` matches. */
export async function opened({ size = "desktop", theme = "light", expected }, run) {
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme: theme });
  const page = await context.newPage();
  const complaints = [];
  const complain = (text) => expected?.test(text) || complaints.push(text);
  page.on("console", (message) => message.type() === "error" && complain(message.text()));
  page.on("pageerror", (error) => complain(String(error)));
  page.on("requestfailed", (request) => {
    // A stream that is still open when the page closes is no failure.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") complain(`${request.url()}: ${why}`);
  });
  try {
    await page.goto(url);
    await run(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** As [`opened`], once it is live. */
export const live = (options, run) =>
  opened(options, async (page) => {
    await page.locator(".connection.live").waitFor();
    await run(page);
  });
