// What others send is words and bytes: nothing of it runs, loads anything, or breaks the layout.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";

import { isWide } from "../support/browser.mjs";
import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { Stranger } from "../support/stranger.mjs";

/** Markup that tells `trap` when anything of it is taken for markup. */
function lures(trap) {
  return [
    `<script>fetch("${trap}/script")</script>`,
    `<img src="${trap}/img" onerror="fetch('${trap}/onerror')">`,
    `<svg onload="fetch('${trap}/svg')"><use href="${trap}/use#a"/></svg>`,
    `<style>@import url(${trap}/style);</style><link rel=stylesheet href=${trap}/link>`,
    `<iframe src="${trap}/frame"></iframe><meta http-equiv=refresh content="0;url=${trap}/meta">`,
    `[click](javascript:fetch('${trap}/js')) ![](${trap}/markdown)`,
    `\`<b>\`</code><img src=x onerror=alert(1)>\``,
    `${"```"}\n</pre><script>alert(2)</script>\n${"```"}`,
    `{{constructor.constructor("alert(3)")()}} \${alert(4)} <%= 5 %>`,
    `${trap}/preview is an address that nobody may fetch before it is clicked`,
  ];
}

// Markup in messages, names of groups and drafts is shown letter by letter, and no address in it is asked.
test("markup is words", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  const trap = await Stranger.open(t);
  await scene.acquaint(scene.anna, scene.ben);
  const texts = lures(trap.origin);
  for (const text of texts) {
    await scene.ben.call("messages.send", { to: scene.anna.identifier, text });
  }
  const group = `<img src=${trap.origin}/group onerror=alert(6)>`;
  await scene.ben.call("groups.create", { name: group, who: [scene.anna.identifier] });
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.chatNamed(group).waitFor();
  await hers.openChat("Ben");
  for (const text of [texts[0], texts[2], texts[8]]) {
    await hers.message(text.split("\n")[0]).waitFor();
  }
  assert.equal(await tab.locator(`[src*="${trap.origin}"], [onerror], [onload], iframe`).count(), 0);
  const links = await tab.locator("main a[href]").evaluateAll((all) => all.map((a) => [a.href, a.rel]));
  for (const [href, rel] of links) {
    assert.match(href, /^https?:/);
    assert.match(rel, /noopener/);
  }
  await tab.reload();
  await hers.chat(scene.ben).waitFor();
  assert.deepEqual(trap.leaks(), []);
  scene.expectNoWrongs();
});

// Characters that turn the direction of writing stay inside their message or name: what stands beside it is not moved.
test("bidi tricks stay in their place", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const tricks = [
    "photo\u202Egnp.exe",
    "\u2066\u2066\u2067never closed",
    `stacked ${"\u0301\u0489".repeat(300)} marks`,
    "\u200B\u200D\uFEFF",
    `${"\u202E".repeat(200)}abc`,
    "W".repeat(8000),
    `${"🏴‍☠️".repeat(400)}`,
    "line\n".repeat(400),
  ];
  for (const text of tricks) await scene.ben.call("messages.send", { to: scene.anna.identifier, text });
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "the end" });
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.openChat("Ben");
  await hers.message("photo").waitFor();
  assert.equal(await isWide(tab), false, "the page scrolls to the side");
  const isolated = await hers.message("photo").evaluate((node) => {
    const holder = [...node.querySelectorAll("*")].findLast((part) =>
      [...part.childNodes].some((child) => child.nodeType === 3 && child.data.includes("photo")),
    );
    const { unicodeBidi } = getComputedStyle(holder);
    return holder.closest("bdi, [dir=auto]") !== null || /isolate|plaintext/.test(unicodeBidi);
  });
  assert.ok(isolated, "the text of a message is not isolated");
  await hers.toEnd();
  await hers.message("the end").waitFor();
  assert.equal(await isWide(tab), false, "the page scrolls to the side at the end");
  scene.expectNoWrongs();
});

// A file that could run is never shown in the page: it is downloaded, and opened from its address it is downloaded too.
test("files with scripts do not run", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  const trap = await Stranger.open(t);
  await scene.acquaint(scene.anna, scene.ben);
  const script = `fetch("${trap.origin}/ran"); alert("ran")`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload='${script}'><script>${script}</script></svg>`;
  const html = `<!doctype html><script>${script}</script><img src="${trap.origin}/img">`;
  const files = {
    "drawing.svg": svg,
    "page.html": html,
    "page.xhtml": `<html xmlns="http://www.w3.org/1999/xhtml"><script>${script}</script></html>`,
    "photo.png": html,
    "photo.jpg": svg,
    "readme.txt": html,
    "paper.pdf": `%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj`,
  };
  const paths = [];
  for (const [name, bytes] of Object.entries(files)) {
    paths.push(path.join(scene.folder, name));
    await writeFile(paths.at(-1), bytes);
  }
  const sent = await scene.ben.call("attachments.send", {
    to: scene.anna.identifier,
    text: "look at these",
    paths,
  });
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.openChat("Ben");
  await hers.message("look at these").waitFor();
  const other = await tab.context().newPage();
  const ran = [];
  other.on("dialog", (dialog) => ran.push(dialog.message()));
  for (const [index, name] of Object.keys(files).entries()) {
    await hers.rpc("attachments.get", { id: `${sent.id}/${index + 1}` });
    const link = await hers.rpc("attachments.link", { message: sent.id, number: index + 1 });
    const answer = await hers.get(link.url);
    assert.equal(answer.headers["x-content-type-options"], "nosniff", name);
    if (link.inline) {
      assert.match(answer.headers["content-type"], /^(image\/(png|jpeg|webp|gif)|audio\/|video\/)/, name);
    } else {
      assert.match(answer.headers["content-disposition"], /^attachment/, name);
      assert.match(answer.headers["content-security-policy"], /sandbox/, name);
    }
    await other.goto(new URL(link.url, tab.home).href).catch(() => {});
  }
  assert.deepEqual(trap.leaks(), []);
  assert.deepEqual(ran, []);
  assert.deepEqual(tab.wrongs.filter((wrong) => /dialog|request/.test(wrong)), []);
});

// Names are bounded when they are set. Should a daemon hand on one of 10,000 characters, the page keeps its shape.
test("a name of 10,000 characters breaks nothing", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben", "cleo"]);
  await scene.acquaint(scene.anna, scene.ben);
  const long = "Bartholomäus ".repeat(800).slice(0, 10_000);
  await assert.rejects(scene.ben.call("profile.set", { name: long }));
  await assert.rejects(scene.ben.call("groups.create", { name: long, who: [scene.anna.identifier] }));
  for (const [name, width] of [[long, 1100], ["B".repeat(10_000), 1100], ["\u202E" + long, 360]]) {
    const tab = await scene.open(scene.anna, { viewport: { width, height: 700 } });
    await home(tab).list().waitFor();
    await tab.route("**/rpc", async (route) => {
      const answer = await route.fetch();
      const text = (await answer.text()).replaceAll('"name":"Ben"', `"name":${JSON.stringify(name)}`);
      await route.fulfill({ response: answer, body: text });
    });
    await tab.reload();
    const hers = home(tab);
    // The line is known by its last words: the name has none of its own left.
    await hers.openChat("Hello Ben");
    await hers.message("Hello Ben").waitFor();
    const shown = await hers.main().getByRole("heading", { level: 2 }).innerText();
    assert.ok(shown.length > 50 && shown.length < 1_000, `the name has ${shown.length} characters`);
    assert.equal(await isWide(tab), false, `${width}: the page scrolls to the side`);
    const box = await hers.composer().boundingBox();
    assert.ok(box.y + box.height <= 700 && box.width > 100, `${width}: the composer is pushed out`);
    await hers.message("Hello Ben").click({ button: "right" });
    await hers.item("message.info").waitFor();
    assert.equal(await isWide(tab), false, `${width}: the menu widens the page`);
    scene.expectNoWrongs();
    // A call that is still under way would fail with the tab.
    await tab.unrouteAll({ behavior: "ignoreErrors" });
    await tab.context().close();
  }
});
