// How the page looks and reads: narrow, dark, from right to left, enlarged, and to programs that read it aloud.

import assert from "node:assert/strict";

import { isWide, violations } from "../support/browser.mjs";
import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { live } from "../support/story.mjs";
import { t as words } from "../support/text.mjs";
import { tour } from "../support/tour.mjs";
import { until } from "../support/until.mjs";

/** A world in which the story was lived, for all looks at it. */
async function lived(test) {
  const scene = await Scene.open(test, ["anna", "ben", "cleo", "dora"]);
  await live(scene);
  return scene;
}

// axe finds nothing on ten screens, light and dark, and in a window of 360 px no screen has to be scrolled sideways.
test("ten screens are accessible, light, dark and narrow", async (t) => {
  const scene = await lived(t);
  const newcomer = scene.newcomer("emil");
  const looks = [
    { colorScheme: "light" },
    { colorScheme: "dark" },
    { colorScheme: "light", viewport: { width: 360, height: 640 } },
  ];
  const found = [];
  for (const look of looks) {
    const name = `${look.colorScheme} ${look.viewport?.width ?? "wide"}`;
    const check = async (tab, screen) => {
      for (const violation of await violations(tab)) found.push(`${name}, ${screen}: ${violation}`);
      if (await isWide(tab)) found.push(`${name}, ${screen}: scrolls sideways`);
    };
    const empty = await scene.open(newcomer, look);
    await empty.getByRole("button", { name: words("setup.register") }).waitFor();
    await check(empty, "welcome");
    await empty.context().close();
    const tab = await scene.open(scene.anna, look);
    await tour(tab, (screen) => check(tab, screen));
    await tab.context().close();
  }
  assert.deepEqual(found, []);
  scene.expectNoWrongs();
});

// Dark is dark and light is light, by the system's wish or by the person's own, which survives a reload.
test("dark mode follows the system and the person", async (t) => {
  const scene = await Scene.open(t, ["anna"]);
  const tab = await scene.open(scene.anna, { colorScheme: "dark" });
  await home(tab).list().waitFor();
  await until("the page is dark in the dark", async () => (await brightness(tab)) < 90);
  await tab.emulateMedia({ colorScheme: "light" });
  await until("the page is bright in the light", async () => (await brightness(tab)) > 165);
  await home(tab).openScreen("settings.title");
  await home(tab).theme("dark");
  await tab.reload();
  await home(tab).list().waitFor();
  await until("the choice is remembered", async () => (await brightness(tab)) < 90);
  scene.expectNoWrongs();
});

/** How bright the page's ground is: 0 is black, 255 white. */
async function brightness(tab) {
  return tab.evaluate(() => {
    const colour = getComputedStyle(document.body).backgroundColor;
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const paint = canvas.getContext("2d");
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [red, green, blue] = paint.getImageData(0, 0, 1, 1).data;
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  });
}

// In Arabic the page runs from right to left; twice the size of text neither hides nor pushes out what one works with.
test("right to left, and large text", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const tab = await scene.open(scene.anna, { locale: "ar-EG" });
  await tab.locator("html[dir=rtl][lang=ar]").waitFor();
  await tab.getByRole("navigation").waitFor();
  assert.deepEqual(await violations(tab), []);
  assert.equal(await isWide(tab), false);
  await tab.context().close();
  const large = await scene.open(scene.anna, { viewport: { width: 720, height: 640 } });
  await home(large).list().waitFor();
  await large.evaluate(() => localStorage.setItem("conclave.prefs", '{"text_scale":2}'));
  await large.reload();
  await home(large).openChat("Ben");
  await home(large).composer().waitFor();
  assert.equal(await isWide(large), false);
  scene.expectNoWrongs();
});

// Hours are written as the reader's own country has them, also where the page speaks another language.
test("times follow the reader", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  for (const [locale, form] of [["en-US", /^\d{1,2}:\d\d\s[AP]M$/], ["en-GB", /^\d\d:\d\d$/], ["de-DE", /^\d\d:\d\d$/]]) {
    const tab = await scene.open(scene.anna, { locale });
    await home(tab).openChat("Ben");
    const time = home(tab).message("Hello Ben").locator("time");
    assert.match(await time.innerText(), form, locale);
    await tab.context().close();
  }
  scene.expectNoWrongs();
});
