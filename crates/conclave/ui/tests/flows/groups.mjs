// A group from its members' side: naming one another, its name, its link, and who has to go.

import assert from "node:assert/strict";

import { violations } from "../support/browser.mjs";
import { isAt } from "../support/keys.mjs";
import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { t } from "../support/text.mjs";
import { until } from "../support/until.mjs";

/** Anna, Ben and Cleo in the group Garden, that Anna made. */
async function garden(test) {
  const scene = await Scene.open(test, ["anna", "ben", "cleo"]);
  await scene.acquaint(scene.anna, scene.ben, scene.cleo);
  const who = [scene.ben.identifier, scene.cleo.identifier];
  scene.garden = (await scene.anna.call("groups.create", { name: "Garden", who })).id;
  for (const other of [scene.ben, scene.cleo]) {
    await until(`${other.name} is in the group`, async () => {
      const { groups } = await other.call("groups.list");
      return groups.some((one) => one.name === "Garden");
    });
  }
  return scene;
}

// Behind an @ a list of the members opens; it is chosen from by keys, and whoever is named sees that they are.
test("naming somebody", async (test) => {
  const scene = await garden(test);
  const tab = await scene.open(scene.anna);
  const hers = home(tab);
  const his = home(await scene.open(scene.ben));
  const cleos = home(await scene.open(scene.cleo));
  for (const page of [hers, his, cleos]) await page.openChat("Garden");
  const list = tab.getByRole("listbox", { name: t("mention.title") });
  const chosen = list.getByRole("option", { selected: true });

  await hers.composer().focus();
  await tab.keyboard.type("Ask @");
  await list.waitFor();
  const [first, second] = await list.getByRole("option").allInnerTexts();
  assert.ok(first && second, "not both others are offered");
  await tab.keyboard.press("ArrowDown");
  await until("the second is chosen", async () => (await chosen.innerText()) === second);
  assert.equal(await hers.composer().getAttribute("aria-activedescendant"), await chosen.getAttribute("id"));
  assert.deepEqual(await violations(tab), []);
  assert.ok(await isAt(hers.composer()), "the line has lost the focus");

  await tab.keyboard.type("be");
  await until("Ben alone is offered", async () => (await list.getByRole("option").count()) === 1);
  await tab.keyboard.press("Enter");
  await list.waitFor({ state: "detached" });
  await until("the name is in the line", async () => (await hers.composer().inputValue()) === "Ask @Ben ");
  await tab.keyboard.type("first");
  await tab.keyboard.press("Enter");
  await his.message("Ask @Ben first").locator(".mention-own").waitFor();
  await cleos.message("Ask @Ben first").locator(".mention").waitFor();
  assert.equal(await cleos.message("Ask @Ben first").locator(".mention-own").count(), 0);

  await tab.keyboard.type("@cl");
  await list.waitFor();
  await tab.keyboard.press("Escape");
  await list.waitFor({ state: "detached" });
  await tab.keyboard.type("ose");
  await tab.keyboard.press("Enter");
  await his.message("@close").waitFor();
  assert.equal(await his.message("@close").locator(".mention").count(), 0, "a word was taken for a name");

  await hers.act("Ask @Ben first", "message.edit");
  await hers.say("Ask @Cleo first");
  await cleos.message("Ask @Cleo first").locator(".mention-own").waitFor();
  scene.expectNoWrongs();
});

// A group gets another name, and who is taken out of it reads nothing that comes afterwards.
test("another name, and a member less", async (test) => {
  const scene = await garden(test);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  const cleos = home(await scene.open(scene.cleo));
  for (const page of [hers, his, cleos]) await page.openChat("Garden");
  await hers.openAbout("Garden");
  const dialog = hers.tab.getByRole("dialog", { name: /Garden|Orchard/ });
  await dialog.getByLabel(t("newgroup.name")).fill("Orchard");
  await dialog.getByRole("button", { name: t("group.rename") }).click();
  for (const page of [hers, his, cleos]) await page.chatNamed("Orchard").waitFor();

  const cleo = dialog.getByRole("listitem").filter({ hasText: "Cleo" });
  await cleo.getByRole("button", { name: t("group.remove"), exact: true }).click();
  await cleo.getByRole("button", { name: t("group.remove_now") }).click();
  await cleos.tab.getByText(t("chat.state.left")).waitFor();
  await hers.tab.keyboard.press("Escape");
  await hers.say("Now we are two");
  await his.message("Now we are two").waitFor();
  assert.equal(await cleos.message("Now we are two").count(), 0);
  await cleos.composer().waitFor({ state: "detached" });
  scene.expectNoWrongs();
});

// The link of a group is made, shown and taken back; whoever comes with the old one stays outside.
test("a link that is taken back", async (test) => {
  const scene = await garden(test);
  const emil = await scene.person("emil");
  const fred = await scene.person("fred");
  const hers = home(await scene.open(scene.anna));
  await hers.openChat("Garden");
  await hers.openAbout("Garden");
  const dialog = hers.tab.getByRole("dialog", { name: "Garden" });
  await dialog.getByRole("button", { name: t("grouplink.make") }).click();
  await dialog.getByRole("img", { name: t("grouplink.qr") }).waitFor();
  const { link } = await hers.rpc("groups.link", { group: scene.garden });
  await emil.call("groups.join", { link });
  await dialog.getByRole("listitem").filter({ hasText: "Emil" }).waitFor();

  await dialog.getByRole("button", { name: t("grouplink.revoke") }).click();
  await dialog.getByText(t("grouplink.none")).waitFor();
  await fred.call("groups.join", { link });
  // What comes behind his wish says that the wish was heard.
  await fred.call("messages.send", { to: scene.anna.identifier, text: "Let me in" });
  await until("Fred's words are there", async () => {
    const { requests } = await hers.rpc("requests.list");
    return requests.length > 0;
  });
  const { members } = await hers.rpc("groups.show", { group: scene.garden });
  assert.equal(members.length, 4);
  scene.expectNoWrongs();
});
