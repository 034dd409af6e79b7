// What the page tells of while nobody looks, what it keeps back, and its lock.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { t } from "../support/text.mjs";
import { until } from "../support/until.mjs";

/**
 * Runs in the tab before the page: writes down the notifications that the page makes, instead of showing them, and
 * lets the test say whether somebody looks. Browsers without a screen show none, and always have the focus.
 */
function recordNotifications() {
  globalThis.told = [];
  globalThis.isAway = false;
  document.hasFocus = () => !globalThis.isAway;
  globalThis.Notification = class {
    static permission = "default";
    static async requestPermission() {
      return (globalThis.Notification.permission = "granted");
    }
    constructor(title, { body }) {
      globalThis.told.push({ title, body, node: this });
    }
    close() {}
  };
}

/** What was told so far, as `title: body`. */
function told(tab) {
  return tab.evaluate(() => globalThis.told.map(({ title, body }) => `${title}: ${body}`));
}

/** Whoever sits before the tab goes away, or comes back. */
function go(tab, isAway) {
  return tab.evaluate((isAway) => {
    globalThis.isAway = isAway;
    dispatchEvent(new Event(isAway ? "blur" : "focus"));
  }, isAway);
}

// Whoever is away is told of messages and requests, without their words unless that was asked for, and of nothing that is
// muted; the title counts what waits, and a press on a notification opens the chat.
test("notifications, and the count in the title", async (test) => {
  const scene = await Scene.open(test, ["anna", "ben", "cleo", "dora"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  const tab = await scene.open(scene.anna, { script: recordNotifications });
  const hers = home(tab);
  const say = (person, text) => person.call("messages.send", { to: scene.anna.identifier, text });
  const hears = (line) => until(`told: ${line}`, async () => (await told(tab)).includes(line));
  await hers.chat(scene.ben).waitFor();
  const app = t("app.name");

  await go(tab, true);
  await say(scene.ben, "nobody asked for this");
  await hers.chat(scene.ben).getByText("nobody asked for this").waitFor();
  await go(tab, false);
  await hers.setting("settings.notify_on", true);
  assert.deepEqual(await told(tab), [], "told without being asked to");
  await until("one waits", async () => (await tab.title()) === `(1) ${app}`);

  await go(tab, true);
  await say(scene.ben, "the key is under the mat");
  await hears(`${app}: ${t("notify.message")}`);
  assert.ok(!JSON.stringify(await told(tab)).includes("mat"), "words were shown");
  await until("two wait", async () => (await tab.title()) === `(2) ${app}`);

  await go(tab, false);
  await hers.setting("settings.notify_preview", true);
  await hers.rpc("chats.mute", { chat: scene.cleo.identifier });
  await hers.chat(scene.cleo).getByLabel(t("chats.muted")).waitFor();
  await go(tab, true);
  await say(scene.cleo, "muted words");
  await hers.chat(scene.cleo).getByText("muted words").waitFor();
  await say(scene.ben, "dinner at eight");
  await hears("Ben: dinner at eight");
  assert.ok(!JSON.stringify(await told(tab)).includes("muted words"), "told of a muted chat");
  await until("three wait, the muted one aside", async () => (await tab.title()) === `(3) ${app}`);

  await say(scene.dora, "It is Dora");
  await hears(`${app}: ${t("notify.request", { who: "Dora" })}`);
  await tab.evaluate(() => {
    globalThis.isAway = false;
    globalThis.told.find((one) => one.body === "dinner at eight").node.onclick();
  });
  await hers.message("dinner at eight").waitFor();
  await until("the request alone waits", async () => (await tab.title()) === `(1) ${app}`);
  scene.expectNoWrongs();
});

// Where one writes only to people one verified, words and files are kept back with a way to the numbers; once they were
// compared both go out by one press.
test("kept back until verified, then sent again", async (test) => {
  const scene = await Scene.open(test, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");
  await hers.setting("settings.strict", true);
  await hers.say("only for you");
  await hers.notice("error.UNVERIFIED").waitFor();
  const plan = path.join(scene.folder, "plan.bin");
  await writeFile(plan, randomBytes(50_000));
  await hers.attach([plan], "the plan");
  const again = (text) => hers.message(text).getByRole("button", { name: t("message.failed_retry") });
  await again("the plan").waitFor();
  assert.equal(await his.message("only for you").count(), 0);

  await hers.notice("error.UNVERIFIED").getByRole("button", { name: t("chat.compare") }).click();
  const dialog = hers.dialog("safety.title");
  await dialog.getByRole("button", { name: t("safety.same") }).click();
  await dialog.getByText(t("safety.is_verified", { who: "Ben" })).waitFor();
  await hers.tab.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await again("only for you").click();
  await his.message("only for you").waitFor();
  await again("the plan").click();
  await his.message("the plan").waitFor();
  assert.ok((await readFile(await his.download("plan.bin"))).equals(await readFile(plan)), "the file differs");
  await again("the plan").waitFor({ state: "detached" });
  assert.equal(await hers.message("only for you").count(), 1);
  scene.expectNoWrongs();
});

// With a dialog open a notice lies over it, and can be read and closed.
test("notices lie over dialogs", async (test) => {
  const scene = await Scene.open(test, ["anna"]);
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.list().waitFor();
  await hers.openScreen("settings.title");
  const dialog = hers.dialog("settings.title");
  await dialog.getByRole("button", { name: t("settings.pass_set") }).first().click();
  for (const key of ["settings.pass_new", "settings.pass_again"]) {
    await dialog.getByLabel(t(key)).fill("four green frogs");
  }
  await dialog.locator("form").getByRole("button", { name: t("settings.pass_set") }).click();
  const notice = hers.notice("settings.pass_done");
  await notice.getByRole("button", { name: t("action.close") }).click();
  await notice.waitFor({ state: "detached" });
  await dialog.waitFor();
  scene.expectNoWrongs();
});

// A lock by keys takes everything off the page; a wrong passphrase opens nothing, the right one brings all of it back.
test("locking and opening by keys", async (test) => {
  const scene = await Scene.open(test, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.openChat("Ben");
  await hers.message("Hello Ben").waitFor();
  await hers.rpc("account.passphrase", { old: "", new: "four green frogs" });
  await tab.keyboard.press("Control+Shift+L");
  await tab.getByRole("heading", { name: t("lock.title") }).waitFor();
  const field = tab.getByLabel(t("lock.passphrase"));
  await until("the focus is where the passphrase goes", () => field.evaluate((node) => node === document.activeElement));
  assert.ok(!(await tab.content()).includes("Hello Ben"), "words are still in the page");
  await tab.keyboard.type("four red frogs");
  await tab.keyboard.press("Enter");
  await tab.getByText(t("error.WRONG_PASSPHRASE")).waitFor();
  await until("the line is empty again", async () => (await field.inputValue()) === "");
  await until("the focus is there again", () => field.evaluate((node) => node === document.activeElement));
  await tab.keyboard.type("four green frogs");
  await tab.keyboard.press("Enter");
  await hers.openChat("Ben");
  await hers.message("Hello Ben").waitFor();
});
