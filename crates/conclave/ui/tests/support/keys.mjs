// What somebody without a mouse does: walks from place to place by keys, until the one they want has the focus.

import { until } from "./until.mjs";

/** More steps than any screen has places to stop at. */
const STOPS_MAX = 80;

/** Whether `place` has the focus. */
export async function isAt(place) {
  return (await place.count()) > 0 && place.evaluate((node) => node === document.activeElement);
}

/** Presses `key` until `place` has the focus. */
export async function goTo(tab, place, key = "Tab") {
  await place.waitFor();
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    if (await isAt(place)) return;
    await tab.keyboard.press(key);
  }
  throw new Error(`${place} cannot be reached by ${key}`);
}

/** Goes to `place` and presses Enter there. */
export async function enter(tab, place) {
  await goTo(tab, place);
  await tab.keyboard.press("Enter");
}

/** Goes to `place` and types there. */
export async function typeInto(tab, place, words) {
  await goTo(tab, place);
  await tab.keyboard.type(words);
}

/** Goes to a line of the palette: a chat, a person, a screen. */
export async function palette(tab, page, name) {
  await tab.keyboard.press("Control+k");
  await page.dialog("palette.title").waitFor();
  await tab.keyboard.type(name);
  const line = page.dialog("palette.title").getByRole("option", { selected: true });
  await line.filter({ hasText: name }).waitFor();
  await tab.keyboard.press("Enter");
  await page.dialog("palette.title").waitFor({ state: "detached" });
}

/** Closes what lies on top; the focus is somewhere afterwards. */
export async function escape(tab, dialog) {
  await tab.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await until("something has the focus", () =>
    tab.evaluate(() => document.activeElement !== null && document.activeElement !== document.body),
  );
}
