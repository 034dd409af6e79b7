// What stays in the page when the profile is locked: nothing of the chats.
import { expect, test } from "vitest";
import type { ChatRow, ContactRow, MessageRow } from "../api/rows";
import { gate } from "../api/session";
import { chats, openChat } from "./chats";
import { contacts } from "./contacts";
import { dialogs, openDialog } from "./dialogs";
import { forgetBehindGate } from "./forget";
import { members } from "./members";
import { patchThread, thread } from "./threads";

/** A lock takes chats, people, messages and open screens out of the page's memory. */
test("a lock forgets", () => {
  forgetBehindGate();
  gate.value = "open";
  chats.value = [{ id: "c" } as ChatRow];
  openChat.value = "c";
  contacts.value = [{ account: "a" } as ContactRow];
  patchThread("c", { messages: [{ id: "m", text: "secret" } as MessageRow], isReady: true });
  members.value = { c: [] };
  openDialog("group", { chat: "c" });
  gate.value = "locked";
  expect([chats.value, contacts.value, dialogs.value, members.value, openChat.value]).toEqual([[], [], [], {}, null]);
  expect(thread("c").value).toMatchObject({ messages: [], pending: [], notes: [], isReady: false });
});
