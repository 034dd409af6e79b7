// What a person does in the open chat just now: answers, edits, selects, jumps.
import { signal } from "@preact/signals";
import type { MessageRow } from "../api/rows";
import { openChat, showChat } from "../state/chats";
import { loadAround } from "../state/threads";
import { notify, report } from "../state/notices";
import { t } from "../text/index";

/** The message that is answered. */
export const replying = signal<MessageRow | null>(null);
/** The own message whose words are changed. */
export const editing = signal<MessageRow | null>(null);
/** Ids of messages that are selected; `null` when none can be. */
export const selected = signal<ReadonlySet<string> | null>(null);
/** The message that the list goes to next; it is shown and lit for a moment. */
export const jump = signal<string | null>(null);
/** The message that is lit now. */
export const lit = signal<string | null>(null);
/** Messages about which is asked whether they go. */
export const deleting = signal<MessageRow[]>([]);

/** Forgets all that: another chat is open. */
export function resetView(): void {
  replying.value = null;
  editing.value = null;
  selected.value = null;
  deleting.value = [];
}

/** Selects a message, or takes it out. */
export function toggleSelected(id: string): void {
  const now = new Set(selected.value ?? []);
  if (!now.delete(id)) now.add(id);
  selected.value = now.size === 0 ? null : now;
}

const LIT_MS = 2_200;

/** Opens the chat at a message, however old; it is lit for a moment. */
export async function jumpTo(chat: string, id: string): Promise<void> {
  if (openChat.value !== chat) showChat(chat);
  try {
    if (!(await loadAround(chat, id))) {
      notify({ kind: "warning", text: t("chat.not_here") });
      return;
    }
    jump.value = id;
    lit.value = id;
    setTimeout(() => {
      if (lit.value === id) lit.value = null;
    }, LIT_MS);
  } catch (error) {
    report(error);
  }
}
