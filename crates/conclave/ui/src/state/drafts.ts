// What was begun to be written to each chat: kept by the program, so that it is there on the next day.
import { rpc } from "../api/rpc";
import { chats, patchChat } from "./chats";

const KEEP_MS = 800;
const waiting = new Map<string, { text: string; timer: ReturnType<typeof setTimeout> }>();
const now = new Map<string, string>();

/** What stands in the composer of a chat. */
export function draftOf(chat: string): string {
  return now.get(chat) ?? chats.value.find((one) => one.id === chat)?.draft ?? "";
}

/** Keeps a draft, a moment after the last key. */
export function setDraft(chat: string, text: string): void {
  now.set(chat, text);
  const before = waiting.get(chat);
  if (before) clearTimeout(before.timer);
  waiting.set(chat, { text, timer: setTimeout(() => keep(chat), KEEP_MS) });
}

/** Keeps the draft of a chat at once: it is left. */
export function flushDraft(chat: string): void {
  if (waiting.has(chat)) keep(chat);
}

function keep(chat: string): void {
  const draft = waiting.get(chat);
  if (!draft) return;
  clearTimeout(draft.timer);
  waiting.delete(chat);
  const row = chats.value.find((one) => one.id === chat);
  if (!row || row.draft === draft.text) return;
  patchChat(chat, { draft: draft.text });
  rpc("chats.draft", { chat, text: draft.text }).catch(() => undefined);
}
