// Goes to the chat with somebody; with first words when there is none yet.
import { onceKey, rpc } from "../api/rpc";
import type { ChatRow, MessageRow } from "../api/rows";
import { chats, loadChats, showChat } from "./chats";

/** The direct chat with an account or identifier, when there is one. */
export function chatWith(who: string): ChatRow | undefined {
  return chats.value.find(
    (chat) => chat.kind === "direct" && (chat.with?.account === who || chat.with?.identifier === who),
  );
}

/** Opens the chat with somebody; true when there is one now. Without a chat and without words there is none. */
export async function openChatWith(who: string, first: string): Promise<boolean> {
  const there = chatWith(who);
  if (first === "") {
    if (there) showChat(there.id);
    return there !== undefined;
  }
  const call = { to: who, text: first, wait: "queued", idempotency_key: onceKey() };
  const sent = await rpc<MessageRow>("messages.send", call);
  await loadChats();
  showChat(sent.chat);
  return true;
}
