// The operations page where the services have keys and serving is on a port of its own.
//
//   SHOPSMART_OPS_KEY  a key with the scope read, of both services; the other variables as for page.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { opened } from "./browser.mjs";

const key = process.env.SHOPSMART_OPS_KEY;
assert.ok(key, "SHOPSMART_OPS_KEY is wanted");

test("asks for a key, says when it is not known, and shows everything with the right one", () =>
  opened({ expected: /401/ }, async (page) => {
    await page.locator(".connection.refused").waitFor();
    const field = page.getByLabel(/^Key with the scope read/);
    await field.fill("wrong");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByText("this API key is not known").first().waitFor();
    await field.fill(key);
    await field.press("Enter");
    await page.locator(".connection.live").waitFor();
    // By way of the other port.
    await page.getByRole("region", { name: "Trending now" }).getByText("kettle").waitFor();
    await page.getByText("There are none.").waitFor();
    // Kept over a reload, for this tab.
    await page.reload();
    await page.locator(".connection.live").waitFor();
    await page.getByRole("button", { name: "Forget it" }).click();
    await page.locator(".connection.refused").waitFor();
  }));
