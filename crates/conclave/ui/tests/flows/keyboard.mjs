// Everything by keys alone: nobody touches a mouse, and the focus is never lost.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { enter, escape, goTo, isAt, palette, typeInto } from "../support/keys.mjs";
import { home } from "../support/page.mjs";
import { png } from "../support/picture.mjs";
import { Scene, test } from "../support/scene.mjs";
import { t as words } from "../support/text.mjs";
import { until } from "../support/until.mjs";

/** Makes an account in an empty profile, up to the choice of what comes first. */
async function register(tab, server, person) {
  const field = (key) => tab.getByLabel(words(key), { exact: true });
  const button = (key) => tab.getByRole("button", { name: words(key), exact: true });
  await enter(tab, button("setup.register"));
  await until("the focus is in the first line", () => isAt(field("setup.server")));
  await tab.keyboard.type(server.address);
  await typeInto(tab, field("setup.identifier"), person.identifier);
  await typeInto(tab, field("setup.name"), person.shown);
  await tab.keyboard.press("Enter");
  await until("the focus is where the code goes", () => isAt(field("setup.code")));
  await tab.keyboard.type(await server.codeFor(person.identifier));
  await tab.keyboard.press("Enter");
  await until("the focus is at the first step", () => isAt(button("setup.ready_write")));
}

// Two people make their accounts, one writes, the other accepts and answers.
test("from an empty profile to an answer, by keys", async (t) => {
  const scene = await Scene.open(t);
  const [anna, ben] = [scene.newcomer("anna"), scene.newcomer("ben")];
  const [tab, other] = [await scene.open(anna), await scene.open(ben)];
  const [hers, his] = [home(tab), home(other)];
  await register(other, scene.server, ben);
  await enter(other, other.getByRole("button", { name: words("setup.ready_go") }));
  await register(tab, scene.server, anna);
  await tab.keyboard.press("Enter");
  const dialog = hers.dialog("newchat.title");
  await until("the focus asks who", () => isAt(dialog.getByLabel(words("newchat.who"))));
  await tab.keyboard.type(ben.identifier);
  await tab.keyboard.press("Enter");
  await dialog.getByText(words("newchat.first_missing")).waitFor();
  await until("the focus is at what is missing", () => isAt(dialog.getByLabel(words("newchat.first"))));
  await tab.keyboard.type("Tea?");
  await tab.keyboard.press("Enter");
  await hers.message("Tea?").waitFor();

  await enter(other, his.list().getByRole("button").filter({ hasText: words("chats.requests") }));
  await enter(other, his.dialog("requests.title").getByRole("button", { name: words("requests.accept") }));
  await until("the focus is in the line to write in", () => isAt(his.composer()));
  await other.keyboard.type("Gladly");
  await other.keyboard.press("Enter");
  await hers.message("Gladly").waitFor();
  scene.expectNoWrongs();
});

// A report goes and a picture comes, each picked, looked at and saved by keys; then messages are set to disappear.
test("files and a timer by keys", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const [tab, other] = [await scene.open(scene.anna), await scene.open(scene.ben)];
  const [hers, his] = [home(tab), home(other)];
  await hers.chat(scene.ben).waitFor();
  await his.chat(scene.anna).waitFor();
  await palette(tab, hers, "Ben");
  await palette(other, his, "Anna");
  for (const page of [hers, his]) await until("the line to write in has the focus", () => isAt(page.composer()));
  const send = async (from, page, to, name, bytes) => {
    const file = path.join(scene.folder, name);
    await writeFile(file, bytes);
    await goTo(from, page.main().getByRole("button", { name: words("composer.attach") }), "Shift+Tab");
    const chooser = from.waitForEvent("filechooser");
    await from.keyboard.press("Enter");
    await (await chooser).setFiles(file);
    const dialog = page.dialog("files.title", { n: 1 });
    await typeInto(from, dialog.getByRole("textbox"), `here is ${name}`);
    await from.keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await to.message(`here is ${name}`).waitFor();
  };
  await send(tab, hers, his, "report.txt", "three eggs");
  const save = his.main().getByRole("button", { name: words("file.save", { name: "report.txt" }) });
  const download = other.waitForEvent("download");
  await goTo(other, save, "Shift+Tab");
  await other.keyboard.press("Enter");
  assert.equal(await readFile(await (await download).path(), "utf8"), "three eggs");

  await goTo(other, his.composer());
  await send(other, his, hers, "garden.png", png(64, 64));
  const show = hers.main().getByRole("button", { name: words("file.show_name", { name: "garden.png" }) });
  await goTo(tab, show, "Shift+Tab");
  await tab.keyboard.press("Enter");
  await hers.picture("garden.png").waitFor();

  await palette(tab, hers, words("timer.title"));
  const dialog = hers.dialog("timer.title");
  await goTo(tab, dialog.getByRole("radio", { checked: true }));
  await goTo(tab, dialog.getByLabel(words("timer.own")), "ArrowUp");
  const count = dialog.getByLabel(words("timer.count"));
  await goTo(tab, count);
  await tab.keyboard.press("Control+a");
  await tab.keyboard.type("4");
  const unit = dialog.getByLabel(words("timer.unit"));
  await goTo(tab, unit);
  await tab.keyboard.press("Home");
  await until("seconds are chosen", async () => (await unit.inputValue()) === "seconds");
  await enter(tab, dialog.getByRole("button", { name: words("action.save") }));
  await dialog.waitFor({ state: "detached" });
  await his.timer().waitFor();
  await goTo(tab, hers.composer());
  await tab.keyboard.type("gone in a moment");
  await tab.keyboard.press("Enter");
  await his.message("gone in a moment").waitFor();
  for (const page of [hers, his]) await page.message("gone in a moment").waitFor({ state: "detached" });
  scene.expectNoWrongs();
});

// A further device shows its code, is let in by the picture of it and six digits, and both talk: no mouse on either.
test("linking a device by keys", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const tab = await scene.open(scene.anna);
  const other = await scene.open(scene.newcomer("laptop"));
  const [here, there] = [home(tab), home(other)];
  await here.chat(scene.ben).waitFor();
  await enter(other, other.getByRole("button", { name: words("setup.link") }));
  const server = other.getByLabel(words("setup.server"), { exact: true });
  await until("the focus is in the first line", () => isAt(server));
  await other.keyboard.type(scene.server.address);
  await typeInto(other, other.getByLabel(words("setup.device_name")), "laptop");
  await other.keyboard.press("Enter");
  const picture = path.join(scene.folder, "code.png");
  await other.getByRole("img", { name: words("setup.link_qr") }).screenshot({ path: picture });
  const digits = await other.getByLabel(words("setup.link_code")).innerText();

  await palette(tab, here, words("devices.title"));
  const dialog = here.dialog("devices.title");
  await enter(tab, dialog.getByRole("button", { name: words("devices.link") }));
  const link = dialog.getByLabel(words("approve.link"), { exact: true });
  await until("the focus is where the link goes", () => isAt(link));
  // What the browser says when somebody closes the choice of files: the dialog stays.
  const none = (node) => node.dispatchEvent(new Event("cancel", { bubbles: true }));
  await dialog.locator("input[type=file]").evaluate(none);
  await goTo(tab, dialog.getByRole("button", { name: words("approve.picture") }));
  const chooser = tab.waitForEvent("filechooser");
  await tab.keyboard.press("Enter");
  await (await chooser).setFiles(picture);
  await until("the code was read", async () => (await link.inputValue()).startsWith("conclave-link:"));
  await typeInto(tab, dialog.getByLabel(words("approve.code"), { exact: true }), digits);
  await tab.keyboard.press("Enter");
  await dialog.getByRole("listitem").filter({ hasText: "laptop" }).waitFor();
  await until("the focus is not lost", () => dialog.evaluate((node) => node.contains(document.activeElement)));
  await tab.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await enter(other, other.getByRole("button", { name: words("setup.ready_go") }));
  await there.chat(scene.ben).waitFor();
  await palette(other, there, "Ben");
  await goTo(other, there.composer());
  await other.keyboard.type("from the laptop");
  await other.keyboard.press("Enter");
  await palette(tab, here, "Ben");
  await here.message("from the laptop").waitFor();
  scene.expectNoWrongs();
});

// Somebody new is written to, a message is changed, answered to and marked, all by keys.
test("talking by keys", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.list().waitFor();

  await tab.keyboard.press("Alt+n");
  const dialog = hers.dialog("newchat.title");
  await goTo(tab, dialog.getByLabel(words("newchat.who")));
  await tab.keyboard.type(scene.ben.identifier);
  await goTo(tab, dialog.getByLabel(words("newchat.first")));
  await tab.keyboard.type("Tea?");
  await enter(tab, dialog.getByRole("button", { name: words("newchat.send") }));
  await hers.message("Tea?").waitFor();
  await until("ben has a request", async () => {
    const { requests } = await scene.ben.call("requests.list");
    return requests.length > 0;
  });
  await scene.ben.call("requests.accept", { chat: scene.anna.identifier });

  // What is still on its way cannot be changed.
  await hers.state("Tea?", "delivered").waitFor();
  await goTo(tab, hers.composer());
  await tab.keyboard.press("ArrowUp");
  await until("the last message is in the line", async () =>
    (await hers.composer().inputValue()) === "Tea?",
  );
  await tab.keyboard.press("End");
  await tab.keyboard.type(" At five");
  await tab.keyboard.press("Enter");
  await hers.message("Tea? At five").waitFor();

  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "With cake" });
  await hers.message("With cake").waitFor();
  await goTo(tab, tab.locator(".lines"), "Shift+Tab");
  await tab.keyboard.press("ArrowUp");
  await until("a message has the focus", () => isAt(hers.message("With cake")));
  await tab.keyboard.press("Enter");
  const thumb = words("message.react_with", { emoji: "👍" });
  await goTo(tab, tab.getByRole("menuitemcheckbox", { name: thumb }), "ArrowDown");
  await tab.keyboard.press("Enter");
  await scene.ben.newest(scene.anna.identifier, "a thumb", (row) =>
    row.text === "With cake" && row.reactions.some((one) => one.emoji === "👍"),
  );

  await until("the focus is at the message again", () => isAt(hers.message("With cake")));
  await tab.keyboard.press("r");
  await until("the focus is in the line to write in", () => isAt(hers.composer()));
  await tab.keyboard.type("Gladly");
  await tab.keyboard.press("Enter");
  await hers.message("Gladly").getByText("With cake").waitFor();
  scene.expectNoWrongs();
});

// Chats, search, the palette, a group and a request are reached by keys, and what was open before has the focus again.
test("getting around by keys", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben", "cleo", "dora"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  await scene.dora.call("messages.send", { to: scene.anna.identifier, text: "It is Dora" });
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.chat(scene.ben).waitFor();

  const name = hers.main().getByRole("heading", { level: 2 }).first();
  await tab.keyboard.press("Alt+ArrowDown");
  const first = await name.innerText();
  const second = first === "Ben" ? "Cleo" : "Ben";
  for (const [key, next] of [["Alt+ArrowDown", second], ["Alt+ArrowUp", first]]) {
    await tab.keyboard.press(key);
    await until(`${next} is shown`, async () => (await name.innerText()) === next);
  }
  await palette(tab, hers, "Ben");
  await hers.message("Hello Ben").waitFor();

  await tab.keyboard.press("Control+f");
  const search = hers.dialog("search.title");
  await until("the focus is in the search", () => isAt(search.getByRole("searchbox")));
  await tab.keyboard.type("Hello");
  await enter(tab, hers.result("Hello Ben"));
  await search.waitFor({ state: "detached" });
  await hers.message("Hello Ben").waitFor();

  await palette(tab, hers, words("newgroup.title"));
  const group = hers.dialog("newgroup.title");
  await goTo(tab, group.getByLabel(words("newgroup.name")));
  await tab.keyboard.type("Garden");
  for (const name of ["Ben", "Cleo"]) {
    await goTo(tab, group.getByLabel(name));
    await tab.keyboard.press("Space");
  }
  await enter(tab, group.getByRole("button", { name: words("newgroup.make") }));
  // The group is in the list before the answer closes what is open.
  await group.waitFor({ state: "detached" });
  await hers.chatNamed("Garden").waitFor();

  await palette(tab, hers, words("requests.title"));
  const requests = hers.dialog("requests.title");
  await enter(tab, requests.getByRole("button", { name: words("requests.accept") }));
  await hers.chatNamed("Dora").waitFor();
  scene.expectNoWrongs();
});

// Screens open by keys and close by Esc; the focus is back where it was.
test("screens by keys", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  await hers.chat(scene.ben).waitFor();
  await palette(tab, hers, "Ben");
  await hers.message("Hello Ben").waitFor();

  await tab.keyboard.press("Control+/");
  await hers.dialog("shortcuts.title").waitFor();
  await escape(tab, hers.dialog("shortcuts.title"));

  const heading = tab.getByRole("heading", { level: 2, name: "Ben", exact: true });
  const about = hers.main().getByRole("button").filter({ has: heading });
  await enter(tab, about);
  await hers.dialog("safety.title").waitFor();
  await escape(tab, hers.dialog("safety.title"));
  await until("the focus is at what opened it", () => isAt(about));

  await palette(tab, hers, words("devices.title"));
  await hers.dialog("devices.title").waitFor();
  await escape(tab, hers.dialog("devices.title"));

  await tab.keyboard.press("Control+,");
  const settings = hers.dialog("settings.title");
  const theme = settings.getByLabel(words("settings.theme"), { exact: true });
  await goTo(tab, theme);
  const before = await theme.inputValue();
  await tab.keyboard.press("ArrowDown");
  await until("another theme is chosen", async () => (await theme.inputValue()) !== before);
  await escape(tab, settings);

  await goTo(tab, hers.composer());
  await tab.keyboard.press("Escape");
  await until("the focus is at the chat's line", () => isAt(hers.chat(scene.ben)));
  scene.expectNoWrongs();
});
