// A small story for pictures and tours: Anna and Ben plan a summer evening, with a garden group beside it.

import { writeFile } from "node:fs/promises";
import path from "node:path";

import { png } from "./picture.mjs";
import { until } from "./until.mjs";

/** Who says what in the chat of the two, in order: the name of the speaker, and the words. */
const TALK = [
  ["anna", "Good morning! Is the garden table still free on Saturday?"],
  ["ben", "It is. I oiled it yesterday 🌿"],
  ["anna", "Then let us eat outside. I make the walnut cake."],
  ["ben", "And I bring plum jam, three jars"],
  ["ben", "What time?"],
  ["anna", "Seven, when the sun is behind the lime tree"],
];

/**
 * Lets the people of `scene` (anna, ben, cleo are registered, dora too) live a little: a chat with a picture,
 * an answer and a reaction, a group, a request of a stranger, and something unread.
 */
export async function live(scene) {
  const { anna, ben, cleo, dora } = scene;
  await scene.acquaint(anna, ben, cleo);
  const said = {};
  for (const [name, text] of TALK) {
    const [from, to] = name === "anna" ? [anna, ben] : [ben, anna];
    said[text] = await from.call("messages.send", { to: to.identifier, text });
    await to.newest(from.identifier, text, (row) => row.text === text);
  }
  const photo = path.join(scene.folder, "lime-tree.png");
  await writeFile(photo, png(480, 300));
  await ben.call("attachments.send", {
    to: anna.identifier,
    text: "The view from the bench",
    paths: [photo],
  });
  const view = await anna.newest(ben.identifier, "the picture", (row) => row.text.startsWith("The view"));
  await anna.call("messages.react", { id: view.id, emoji: "😍" });
  await anna.call("messages.send", {
    to: ben.identifier,
    text: "What light! See you on Saturday.",
    reply_to: view.id,
  });
  await anna.call("attachments.get", { id: `${view.id}/1` });
  for (const one of [anna, ben]) await one.call("messages.read", { chat: one === anna ? ben.identifier : anna.identifier });
  await group(scene);
  await dora.call("messages.send", { to: anna.identifier, text: "Hello Anna, we met at the seed market" });
  await until("dora's request is there", async () => {
    const { requests } = await anna.call("requests.list");
    return requests.length > 0;
  });
}

/** The garden group: three people, three lines, one of them unread. */
async function group({ anna, ben, cleo }) {
  const who = [ben.identifier, cleo.identifier];
  const row = await anna.call("groups.create", { name: "Garden", who });
  for (const other of [ben, cleo]) {
    await until(`${other.name} is in the group`, async () => {
      const { groups } = await other.call("groups.list");
      return groups.some((one) => one.name === "Garden");
    });
  }
  await anna.call("messages.send", { to: row.id, text: "The tomatoes are ripe, who wants some?" });
  await ben.newest("Garden", "the tomatoes", (one) => one.text.includes("tomatoes"));
  await ben.call("messages.send", { to: "Garden", text: "A basket for me, please" });
  await anna.newest("Garden", "the basket", (one) => one.text.includes("basket"));
  await cleo.newest("Garden", "the basket", (one) => one.text.includes("basket"));
  await cleo.call("messages.send", { to: "Garden", text: "And basil! `recipe.txt` follows" });
  await anna.newest("Garden", "the basil", (one) => one.text.includes("basil"));
}
