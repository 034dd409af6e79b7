// Files go both ways between two pages, and arrive as they were.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { home } from "../support/page.mjs";
import { png } from "../support/picture.mjs";
import { Scene, test } from "../support/scene.mjs";
import { until } from "../support/until.mjs";

// Anna sends a report by the file dialog, Ben a picture; both are seen first, and both arrive byte by byte.
test("a file each way", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");

  const report = path.join(scene.folder, "report.pdf");
  await writeFile(report, randomBytes(700_000));
  await hers.attach([report], "the report");
  await his.message("the report").waitFor();
  const got = await his.download("report.pdf");
  assert.ok((await readFile(got)).equals(await readFile(report)), "the report differs");

  const photo = path.join(scene.folder, "garden.png");
  await writeFile(photo, png(320, 200));
  await his.attach([photo], "the garden");
  await hers.message("the garden").waitFor();
  await hers.showFile("garden.png");
  const shown = hers.picture("garden.png");
  await shown.waitFor();
  const { body } = await hers.get(await shown.getAttribute("src"));
  assert.ok(body.equals(await readFile(photo)), "the picture differs");
  await until("the picture is drawn", () => shown.evaluate((node) => node.naturalWidth === 320));
  scene.expectNoWrongs();
});

// A picture from the clipboard and a file that is dropped wait as a preview, and go out with the words.
test("paste and drop", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");
  const picture = { name: "pasted.png", type: "image/png", bytes: png(64, 64) };
  await hers.paste(picture, "from the clipboard");
  await his.message("from the clipboard").waitFor();
  await his.showFile("pasted.png");
  await his.picture("pasted.png").waitFor();
  const notes = { name: "notes.txt", type: "text/plain", bytes: Buffer.from("three eggs") };
  await hers.drop(notes, "dropped");
  await his.message("dropped").waitFor();
  assert.equal(await readFile(await his.download("notes.txt"), "utf8"), "three eggs");
  scene.expectNoWrongs();
});
