// Keeps what is shown true: one stream of events, applied in pieces between two pictures of the screen.
import { batch } from "@preact/signals";
import { follow } from "../api/events";
import { rpc } from "../api/rpc";
import type { ChatLiveRow, EventRow, LiveRow, MessageRow, ToldRow } from "../api/rows";
import { gate } from "../api/session";
import { chats, openChat, patchChat, putChat, refreshChats } from "./chats";
import { loadStatus, online, queued, removed, streamOpen } from "./connection";
import { loadContacts } from "./contacts";
import { heedFile } from "./files";
import { isSeen, markRead } from "./reading";
import { resumeSending } from "./sending";
import { dropMessages, fetchMessage, forgetThreads, loadThread, noteOf, patchMessage, putMessage, putNote } from "./threads";
import { heedSpoken, heedTyping } from "./typing";

let stop: AbortController | null = null;

/** Begins to follow what happens; a stream of before is ended. */
export function goLive(): void {
  stop?.abort();
  const controller = new AbortController();
  stop = controller;
  run(controller.signal).catch(() => {
    streamOpen.value = false;
    setTimeout(() => stop === controller && gate.value === "open" && goLive(), 1_000);
  });
}

/** Somebody who is told of events as they come: screens add themselves. */
export type Watcher = (event: EventRow | LiveRow) => void;
const watchers = new Set<Watcher>();

/** Tells `watcher` of each event from now on; call what is returned to end it. */
export function watch(watcher: Watcher): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

async function run(signal: AbortSignal): Promise<void> {
  const { cursor } = await rpc<{ cursor: number }>("events.subscribe");
  // What happened between loading and subscribing is loaded again.
  refreshChats();
  await follow(
    cursor,
    {
      told: (row) => enqueue(() => applyTold(row), row.event),
      live: (row) => enqueue(() => applyLive(row), row),
      open: (isOpen) => {
        streamOpen.value = isOpen;
        if (!isOpen) return;
        loadStatus().catch(() => undefined);
        resumeSending();
      },
      missed: startAnew,
    },
    signal,
  );
}

function startAnew(): void {
  forgetThreads();
  reopen();
  if (gate.value === "open") goLive();
}

const EACH_MS = 40;
let waiting: { apply: () => void; event: EventRow | LiveRow }[] = [];

// However many come in a second, the page is drawn once for all that came within a blink.
function enqueue(apply: () => void, event: EventRow | LiveRow): void {
  waiting.push({ apply, event });
  if (waiting.length === 1) setTimeout(flush, EACH_MS);
}

function flush(): void {
  const now = waiting;
  waiting = [];
  batch(() => {
    for (const { apply, event } of now) {
      try {
        apply();
        for (const watcher of watchers) watcher(event);
      } catch (error) {
        // One row that does not fit must not keep the others from being shown.
        reportError(error);
      }
    }
  });
}

function applyTold({ event, ts_ms }: ToldRow): void {
  const note = noteOf(event, ts_ms);
  if (note) putNote(note);
  switch (event.type) {
    case "message":
      return received(event);
    case "changed":
      putMessage(event.message);
      return replaceLast(event.message);
    case "state":
      return stateChanged(event.chat, event.id, event.state);
    case "timer":
      return patchChat(event.chat, { timer_s: event.seconds });
    case "identity_changed":
    case "key_rotated":
      loadContacts().catch(() => undefined);
      return soonRefresh();
    case "request":
    case "group_change":
    case "gap":
    case "history":
      return soonRefresh();
    default:
  }
}

function received(row: MessageRow): void {
  putMessage(row);
  heedSpoken(row.chat, row.from.account);
  if (!hasLive || !chats.value.some((one) => one.id === row.chat)) soonRefresh();
  if (!row.own && isSeen(row.chat)) markRead(row.chat);
}

function stateChanged(chat: string, id: string, state: string): void {
  if (!patchMessage(chat, id, { state }) && openChat.value === chat) fetchMessage(id);
  const row = chats.value.find((one) => one.id === chat);
  if (row?.last?.id === id) patchChat(chat, { last: { ...row.last, state } });
  else if (state === "accepted") soonRefresh();
  if (state === "accepted" || state === "failed") soonStatus();
}

function replaceLast(message: MessageRow): void {
  const row = chats.value.find((one) => one.id === message.chat);
  if (row?.last?.id === message.id) patchChat(message.chat, { last: message });
}

// Whether the program tells what is touched; else the list is loaded anew when something comes.
let hasLive = false;

function applyLive(event: LiveRow): void {
  hasLive = true;
  switch (event.type) {
    case "connection":
      online.value = event.online;
      removed.value = event.removed;
      queued.value = event.queued;
      return;
    case "typing":
      return heedTyping(event.chat, event.from);
    case "progress":
      return heedFile(event);
    case "chat":
      return chatTouched(event);
    case "chat_gone":
      chats.value = chats.value.filter((one) => one.id !== event.chat);
      if (openChat.value === event.chat) openChat.value = null;
      return;
    case "people":
      loadContacts().catch(() => undefined);
      return soonRefresh();
    case "again":
      forgetThreads();
      reopen();
      return soonRefresh();
    default:
  }
}

function chatTouched({ chat, messages, gone, reload }: ChatLiveRow): void {
  const timer_s = chats.value.find((one) => one.id === chat.id)?.timer_s;
  putChat({ timer_s, ...chat });
  if (reload) {
    forgetThreads(chat.id);
    if (openChat.value === chat.id) reopen();
  }
  messages.forEach(putMessage);
  if (gone.length > 0) dropMessages(chat.id, gone);
  if (chat.unread > 0 && isSeen(chat.id)) markRead(chat.id);
}

function reopen(): void {
  const open = openChat.value;
  if (open) loadThread(open, 0).catch(() => undefined);
}

const SOON_MS = 400;
const later = new Map<() => void, ReturnType<typeof setTimeout>>();

function soon(task: () => void): void {
  if (later.has(task)) return;
  later.set(task, setTimeout(() => (later.delete(task), task()), SOON_MS));
}

/** Loads the list of chats anew, once for all that asks for it within a moment. */
export function soonRefresh(): void {
  soon(refreshChats);
}

function soonStatus(): void {
  soon(askStatus);
}

function askStatus(): void {
  loadStatus().catch(() => undefined);
}
