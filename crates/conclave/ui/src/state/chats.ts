// The chats, which one is open, and how many wait for an answer.
import { batch, computed, signal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { ChatRow, RequestRow } from "../api/rows";
import { report } from "./notices";

/** All chats, newest first as the program gives them. */
export const chats = signal<ChatRow[]>([]);
/** The id of the chat that is open; `null` when none is. */
export const openChat = signal<string | null>(null);
/** People who want to write and were not answered yet. */
export const requests = signal<RequestRow[]>([]);

/** The row of the open chat. */
export const openRow = computed(() => chats.value.find((chat) => chat.id === openChat.value) ?? null);
/** Unread messages of chats that are not muted. */
export const unreadTotal = computed(() =>
  chats.value.reduce((sum, chat) => (isMuted(chat) ? sum : sum + (chat.unread || Number(chat.marked_unread))), 0),
);

/** The chats in the order of the list: pinned ones first, then by time; archived ones apart. Requests have a place of their own. */
export const listed = computed(() => {
  const answered = chats.value.filter((chat) => chat.state !== "request" && chat.state !== "declined");
  const sorted = answered.sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.ts_ms - a.ts_ms,
  );
  return {
    active: sorted.filter((chat) => !chat.archived),
    archived: sorted.filter((chat) => chat.archived),
  };
});

/** Whether it is muted now. */
export function isMuted(chat: ChatRow, now = Date.now()): boolean {
  return (chat.muted_until_ts_ms ?? 0) > now;
}

/** Loads chats and requests. */
export async function loadChats(): Promise<void> {
  const [list, waiting] = await Promise.all([
    rpc<{ chats: ChatRow[] }>("chats.list"),
    rpc<{ requests: RequestRow[] }>("requests.list"),
  ]);
  batch(() => {
    chats.value = list.chats;
    requests.value = waiting.requests;
  });
}

/** The same for callers that cannot answer for a failure: it is shown. */
export function refreshChats(): void {
  loadChats().catch(report);
}

/** Puts a changed row into the list. */
export function putChat(row: ChatRow): void {
  const others = chats.value.filter((chat) => chat.id !== row.id);
  chats.value = [row, ...others];
}

/** Changes some fields of a row, when it is there. */
export function patchChat(id: string, changed: Partial<ChatRow>): void {
  chats.value = chats.value.map((chat) => (chat.id === id ? { ...chat, ...changed } : chat));
}

/** Opens a chat; `null` shows the list alone. */
export function showChat(id: string | null): void {
  openChat.value = id;
}
