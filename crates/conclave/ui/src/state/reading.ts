// Marks a chat as read when its newest message was really seen: the page in front, the list at its end.
import { signal } from "@preact/signals";
import { rpc } from "../api/rpc";
import { chats, openChat, patchChat } from "./chats";

/** Whether the open chat is scrolled to its newest message. */
export const atEnd = signal(true);

const EACH_MS = 500;
/** Chats that everybody is told of in a moment. */
const waiting = new Set<string>();

/** Whether what comes into a chat now is seen as it comes. */
export function isSeen(chat: string): boolean {
  return openChat.value === chat && atEnd.value && document.visibilityState === "visible" && document.hasFocus();
}

/** Marks a chat as read: at once on the page, in a moment for everybody. */
export function markRead(chat: string): void {
  const row = chats.value.find((one) => one.id === chat);
  if (row && (row.unread > 0 || row.marked_unread)) patchChat(chat, { unread: 0, marked_unread: false });
  if (waiting.has(chat)) return;
  waiting.add(chat);
  setTimeout(() => {
    waiting.delete(chat);
    rpc("messages.read", { chat }).catch(() => undefined);
  }, EACH_MS);
}

/** Looks whether the open chat is seen now, and marks it. */
export function lookAgain(): void {
  const chat = openChat.value;
  if (chat === null || !isSeen(chat)) return;
  const row = chats.value.find((one) => one.id === chat);
  if (row && (row.unread > 0 || row.marked_unread) && row.state === "open") markRead(chat);
}

/** Looks whenever the page comes to the front. */
export function watchSeeing(): void {
  document.addEventListener("visibilitychange", lookAgain);
  addEventListener("focus", lookAgain);
}
