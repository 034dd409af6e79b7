// Who is writing now, and telling others that one writes.
import { signal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { PersonRow } from "../api/rows";

/** Who writes, by chat. */
export const typing = signal<Record<string, PersonRow[]>>({});

const FORGET_MS = 6_000;
// What was told of writing may come behind the message that was written.
const LATE_MS = 2_000;
const TELL_MS = 4_000;
const timers = new Map<string, ReturnType<typeof setTimeout>>();
const spokeMs = new Map<string, number>();

/** Somebody writes; it is forgotten after a while. */
export function heedTyping(chat: string, who: PersonRow): void {
  const key = `${chat} ${who.account}`;
  if (Date.now() - (spokeMs.get(key) ?? 0) < LATE_MS) return;
  clearTimeout(timers.get(key));
  timers.set(key, setTimeout(() => stopsTyping(chat, who.account), FORGET_MS));
  const there = typing.value[chat] ?? [];
  if (there.some((one) => one.account === who.account)) return;
  typing.value = { ...typing.value, [chat]: [...there, who] };
}

/** Somebody said what they wrote. */
export function heedSpoken(chat: string, account: string): void {
  spokeMs.set(`${chat} ${account}`, Date.now());
  stopsTyping(chat, account);
}

/** Somebody does not write any more. */
function stopsTyping(chat: string, account: string): void {
  const there = typing.value[chat];
  if (!there?.some((one) => one.account === account)) return;
  typing.value = { ...typing.value, [chat]: there.filter((one) => one.account !== account) };
}

let toldMs = 0;
let toldChat = "";

/** Tells the others of a chat that this person writes, now and then. */
export function tellTyping(chat: string): void {
  const now = Date.now();
  if (chat === toldChat && now - toldMs < TELL_MS) return;
  toldMs = now;
  toldChat = chat;
  rpc("chats.typing", { chat }).catch(() => undefined);
}
