// After what time messages of a chat disappear.
import { rpc } from "../api/rpc";
import type { TimerRow } from "../api/rows";
import { patchChat } from "./chats";

/** Loads it into the row of the chat. */
export async function loadTimer(chat: string): Promise<void> {
  const timer = await rpc<TimerRow>("chats.timer", { chat });
  patchChat(chat, { timer_s: timer.seconds });
}
