// Two people talk, page to page: from an empty profile to a message that was read, over a server that goes and comes.

import assert from "node:assert/strict";

import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { setup } from "../support/setup.mjs";

// Two people make their accounts on the page, one writes to the other, who accepts; states go from accepted to read.
test("two people register on the page and talk", async (t) => {
  const scene = await Scene.open(t);
  const [anna, ben] = [scene.newcomer("anna"), scene.newcomer("ben")];
  const tabs = [];
  for (const [person, shown] of [[anna, "Anna"], [ben, "Ben"]]) {
    const tab = await scene.open(person);
    await setup(tab).register(scene.server, person.identifier, shown);
    tabs.push(home(tab));
  }
  const [hers, his] = tabs;
  await hers.newChat(ben.identifier, "The walnut cake is in the oven");
  await hers.state("The walnut cake is in the oven", "accepted").waitFor();

  await his.acceptRequest("Anna");
  await his.openChat("Anna");
  await his.message("The walnut cake is in the oven").waitFor();
  await hers.state("The walnut cake is in the oven", "read").waitFor();

  await his.say("I bring the plum jam");
  await hers.message("I bring the plum jam").waitFor();
  await his.state("I bring the plum jam", "read").waitFor();
  scene.expectNoWrongs();
});

// Without its server the page says so and keeps what is written; when the server is back, that goes out by itself.
test("offline, and back", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");
  await scene.server.stop();
  await hers.offline().waitFor();
  await hers.say("Are you there?");
  await hers.say("I will be late");
  await hers.state("I will be late", "queued").waitFor();
  assert.equal(await his.message("I will be late").count(), 0);

  await scene.server.start();
  await hers.offline().waitFor({ state: "hidden" });
  await his.message("I will be late").waitFor();
  await hers.state("I will be late", "read").waitFor();
  const words = await his.words();
  const at = words.indexOf("Are you there?");
  assert.deepEqual(words.slice(at), ["Are you there?", "I will be late"], "each once, in order");
});

// What one of the two reads, edits, answers, marks and takes back on a page is so on the other's.
test("answers, edits, reactions and deleting", async (t) => {
  const scene = await Scene.open(t, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  const hers = home(await scene.open(scene.anna));
  const his = home(await scene.open(scene.ben));
  await hers.openChat("Ben");
  await his.openChat("Anna");
  await hers.say("At seven?");
  await his.message("At seven?").waitFor();
  await his.act("At seven?", "message.reply");
  await his.say("Seven is fine");
  await hers.message("Seven is fine").getByText("At seven?").waitFor();
  await hers.act("At seven?", "message.edit");
  await hers.say("At eight?");
  await his.message("At eight?").waitFor();
  await his.react("At eight?", "👍");
  await hers.message("At eight?").getByText("👍").first().waitFor();
  await hers.deleteForEveryone("At eight?");
  await his.message("At eight?").waitFor({ state: "detached" });
  scene.expectNoWrongs();
});
