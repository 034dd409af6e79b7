// Groups, requests, a second device, search and disappearing messages, on the page.

import assert from "node:assert/strict";
import path from "node:path";

import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { setup } from "../support/setup.mjs";
import { t } from "../support/text.mjs";
import { until } from "../support/until.mjs";

// Three people talk in a group that one of them makes on the page, under the name it is given later.
test("a group of three", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben", "cleo"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  const tabs = {};
  for (const name of ["anna", "ben", "cleo"]) tabs[name] = home(await scene.open(scene[name]));
  await tabs.anna.newGroup("Garden", ["Ben", "Cleo"]);
  for (const name of ["ben", "cleo"]) await tabs[name].openChat("Garden");
  await tabs.anna.openChat("Garden");
  await tabs.ben.say("Tomatoes?");
  for (const name of ["anna", "cleo"]) await tabs[name].message("Tomatoes?").waitFor();
  await tabs.cleo.say("And beans");
  for (const name of ["anna", "ben"]) await tabs[name].message("And beans").waitFor();
  await tabs.ben.state("Tomatoes?", "read").waitFor();
  scene.expectNoWrongs();
});

// A stranger's first message waits as a request, unread by the page; declined it is gone, accepted it is a chat.
test("a request is accepted, another one declined", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben", "cleo"]);
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "It is Ben" });
  await scene.cleo.call("messages.send", { to: scene.anna.identifier, text: "Buy this" });
  const hers = home(await scene.open(scene.anna));
  await hers.acceptRequest("Ben");
  await hers.openChat("Ben");
  await hers.message("It is Ben").waitFor();
  await hers.declineRequest("Cleo");
  await until("no request is left", async () => {
    const { requests } = await hers.rpc("requests.list");
    return requests.length === 0;
  });
  assert.equal(await hers.chatNamed("Cleo").count(), 0);
  scene.expectNoWrongs();
});

// Whoever is blocked is not heard until they are taken again; a stranger can be declined and blocked at once.
test("blocking, and taking back", async (test) => {
  const scene = await Scene.open(test, ["anna", "ben", "cleo", "dora"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  await scene.dora.call("messages.send", { to: scene.anna.identifier, text: "Buy this" });
  const hers = home(await scene.open(scene.anna));
  const dora = await hers.request("Dora");
  await dora.getByRole("button", { name: t("requests.block") }).click();
  await dora.waitFor({ state: "detached" });
  await hers.tab.keyboard.press("Escape");

  const ben = await hers.contact("Ben");
  await ben.getByRole("button", { name: t("contacts.block") }).click();
  await ben.getByText(t("contacts.blocked")).waitFor();
  await hers.tab.keyboard.press("Escape");
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "while blocked" });
  await scene.cleo.call("messages.send", { to: scene.anna.identifier, text: "It is Cleo" });
  await hers.openChat("Cleo");
  await hers.message("It is Cleo").waitFor();

  const again = await hers.contact("Ben");
  await again.getByRole("button", { name: t("contacts.unblock") }).click();
  await again.getByRole("button", { name: t("contacts.block"), exact: true }).waitFor();
  await hers.tab.keyboard.press("Escape");
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "It is Ben again" });
  await hers.openChat("Ben");
  await hers.message("It is Ben again").waitFor();
  assert.equal(await hers.message("while blocked").count(), 0, "words of somebody blocked were shown");
  const { contacts } = await hers.rpc("contacts.list");
  const blocked = contacts.filter((row) => row.blocked).map((row) => row.identifier);
  assert.deepEqual(blocked, [scene.dora.identifier]);
  scene.expectNoWrongs();
});

// A second device comes in by the picture of its QR code and six digits, and both show what is said from then on; once it
// is removed its page says so, and what it has stays readable.
test("a device is linked by the picture of its code, and removed", async (test) => {
  const scene = await Scene.open(test, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const laptop = scene.newcomer("laptop");
  const here = home(await scene.open(scene.anna));
  const tab = await scene.open(laptop);
  const picture = path.join(scene.folder, "code.png");
  const digits = await setup(tab).link(scene.server, "laptop", picture);
  await here.linkDevice(picture, digits);
  await setup(tab).goIn();
  const there = home(tab);
  await there.chat(scene.ben).waitFor();
  await here.openChat("Ben");
  await here.say("from the desk");
  await there.openChat("Ben");
  await there.message("from the desk").waitFor();
  await there.say("from the laptop");
  await here.message("from the laptop").waitFor();
  const { devices } = await here.rpc("devices.list");
  assert.deepEqual(devices.map((row) => row.name).filter((name) => name === "laptop"), ["laptop"]);

  await here.openScreen("devices.title");
  const line = here.dialog("devices.title").getByRole("listitem").filter({ hasText: "laptop" });
  await line.getByRole("button", { name: t("devices.remove"), exact: true }).click();
  await line.getByRole("button", { name: t("devices.remove_now") }).click();
  await line.waitFor({ state: "detached" });
  await tab.getByText(t("error.DEVICE_REMOVED")).waitFor();
  await there.message("from the desk").waitFor();
  scene.expectNoWrongs();
});

// A word is found in any chat by its beginning, and the result leads to the message in its place; from there one comes
// to the newest page by page, by a press, and by writing.
test("search finds and jumps", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben", "cleo"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "The picnic is on Sunday" });
  for (let number = 0; number < 150; number += 1) {
    const text = `line ${number}`;
    await scene.ben.call("messages.send", { to: scene.anna.identifier, text });
  }
  // What is unread would be loaded as a whole.
  await scene.anna.newest(scene.ben.identifier, "the last line", (row) => row.text === "line 149");
  await scene.anna.call("messages.read", { chat: scene.ben.identifier });
  const hers = home(await scene.open(scene.anna));
  await hers.openChat("Cleo");
  await hers.search("picn");
  await hers.result("The picnic is on Sunday").click();
  await hers.message("The picnic is on Sunday").waitFor();
  await until("the result is in sight", () => hers.isSeen("The picnic is on Sunday"));

  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: "the newest" });
  await hers.chat(scene.ben).getByText("the newest").waitFor();
  assert.equal(await hers.message("the newest").count(), 0, "it stands where nothing is loaded");
  await hers.scrollDownTo("the newest");
  const said = await hers.words();
  assert.deepEqual(said.slice(-3), ["line 148", "line 149", "the newest"], "something is missing on the way");

  await hers.tab.reload();
  await hers.openChat("Ben");
  await hers.search("picn");
  await hers.result("The picnic is on Sunday").click();
  await hers.message("The picnic is on Sunday").waitFor();
  await hers.toEnd();
  await until("the newest is in sight", () => hers.isSeen("the newest"));
  await hers.search("picn");
  await hers.result("The picnic is on Sunday").click();
  await until("the old one is in sight", () => hers.isSeen("The picnic is on Sunday"));
  await hers.say("I come, too");
  await until("one's own words are in sight", () => hers.isSeen("I come, too"));
  scene.expectNoWrongs();
});

// Under a timer of five seconds, typed in, messages leave both pages by themselves, and the chat says that it has one.
test("messages disappear", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");
  await hers.setTimer(5, "seconds");
  await hers.timer().waitFor();
  await his.timer().waitFor();
  await hers.say("gone in a moment");
  await his.message("gone in a moment").waitFor();
  for (const side of [hers, his]) {
    await side.message("gone in a moment").waitFor({ state: "detached" });
  }
  await hers.message("Hello Ben").waitFor();
  scene.expectNoWrongs();
});
