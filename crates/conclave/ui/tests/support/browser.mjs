// Headless Chromium: one for a test file, a context for each person, and an eye on everything that goes wrong in it.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

import { PATIENCE_MS } from "./until.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const NAMES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts Chromium; `CONCLAVE_CHROMIUM` names another one. Throws when there is none. */
export async function startChromium(flags = []) {
  const program = process.env.CONCLAVE_CHROMIUM ?? NAMES.find(existsSync);
  if (!program) throw new Error("no Chromium here: `apt-get install chromium`");
  return chromium.launch({ executablePath: program, args: [...FLAGS, ...flags] });
}

/**
 * A tab in a context of its own, as a person's browser is. What goes wrong in it is written down in `tab.wrongs`:
 * uncaught errors, messages of the console that are errors, dialogs, and requests that leave the origin of `tab.home`.
 * `CONCLAVE_THROTTLE` makes its scripts slower by that factor, to find what is only fast enough by chance.
 * `tab.token` is the token that its last request carried. `script` runs in the tab before anything of the page.
 */
export async function openTab(browser, { script, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1100, height: 720 },
    reducedMotion: "reduce",
    locale: "en-GB",
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  if (script) await context.addInitScript(script);
  const tab = await context.newPage();
  if (process.env.CONCLAVE_THROTTLE) {
    const rate = Number(process.env.CONCLAVE_THROTTLE);
    await (await context.newCDPSession(tab)).send("Emulation.setCPUThrottlingRate", { rate });
  }
  tab.wrongs = [];
  tab.on("pageerror", (error) => tab.wrongs.push(`error: ${error.message}`));
  tab.on("dialog", async (dialog) => {
    tab.wrongs.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  tab.on("console", (message) => {
    if (message.type() === "error") tab.wrongs.push(`console: ${message.text()}`);
  });
  // From the first moment on: a key press opens the choice of files before the browser hears that a test waits for it.
  tab.on("filechooser", () => {});
  context.on("request", (request) => {
    tab.token = request.headers()["x-conclave-token"] ?? tab.token;
    const url = request.url();
    if (/^(data|blob|about):/.test(url)) return;
    const home = tab.home ?? url;
    if (new URL(url).origin !== new URL(home).origin) tab.wrongs.push(`request to ${url}`);
  });
  return tab;
}

/** What axe finds on the screen as it is, one line a violation. */
export async function violations(tab) {
  await tab.evaluate(axe);
  const found = await tab.evaluate(async () => {
    const options = { resultTypes: ["violations"] };
    const { violations } = await globalThis.axe.run(document, options);
    return violations.map(({ id, help, nodes }) => ({
      id,
      help,
      where: nodes.map((node) => `${node.target.join(" ")} (${node.failureSummary})`),
    }));
  });
  return found.map(({ id, help, where }) => `${id}: ${help}: ${where.join("; ")}`);
}

/** Whether anything lies outside the window to the side: nobody should have to scroll there. */
export async function isWide(tab) {
  return tab.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth > clientWidth;
  });
}
