// The messages of each chat as far as they are loaded, and what happens to them.
import { type Signal, signal } from "@preact/signals";
import { ApiError, rpc } from "../api/rpc";
import type { EventRow, MessageRow, ToldRow } from "../api/rows";
import type { NoteRow } from "../chat/layout";
import { report } from "./notices";

/** What is loaded of a chat. */
export interface Thread {
  chat: string;
  /** Oldest first, without a hole; up to the newest unless `hasNewer`. */
  messages: MessageRow[];
  /** Own messages that the program has not taken yet; their ids begin with `local`. */
  pending: MessageRow[];
  notes: NoteRow[];
  /** Whether there may be older ones. */
  hasOlder: boolean;
  /** Whether there are newer ones: one jumped far back. */
  hasNewer: boolean;
  isLoading: boolean;
  /** Whether the newest page was loaded. */
  isReady: boolean;
  /** The first message that was unread when the chat was opened. */
  unreadFrom: string | null;
}

const PAGE = 60;
const AROUND = 40;

const threads = new Map<string, Signal<Thread>>();

/** The thread of a chat; empty until `loadThread`. */
export function thread(chat: string): Signal<Thread> {
  let there = threads.get(chat);
  if (!there) {
    there = signal<Thread>({
      chat,
      messages: [],
      pending: [],
      notes: [],
      hasOlder: true,
      hasNewer: false,
      isLoading: false,
      isReady: false,
      unreadFrom: null,
    });
    threads.set(chat, there);
  }
  return there;
}

/** Changes some fields of a thread. */
export function patchThread(chat: string, changed: Partial<Thread>): void {
  const there = thread(chat);
  there.value = { ...there.value, ...changed };
}

/** Loads the newest page, unless it is there. `unread` says how many of the newest are unread. */
export async function loadThread(chat: string, unread: number): Promise<void> {
  const there = thread(chat);
  if (there.value.isReady) {
    if (unread > 0) patchThread(chat, { unreadFrom: firstUnread(there.value.messages, unread) });
    return;
  }
  // Whoever jumps into a chat that is being opened waits for its page, too.
  const begun = begins.get(chat);
  if (begun) return begun;
  const work = loading(chat, async () => {
    const limit = Math.min(1000, Math.max(PAGE, unread * 2 + 20));
    const messages = await history(chat, limit);
    patchThread(chat, {
      messages,
      notes: notesOf(chat),
      hasOlder: messages.length >= limit,
      isReady: true,
      unreadFrom: firstUnread(messages, unread),
    });
  }).finally(() => begins.delete(chat));
  begins.set(chat, work);
  return work;
}

const begins = new Map<string, Promise<void>>();

/** Loads the page before what is there. */
export async function loadOlder(chat: string): Promise<void> {
  const now = thread(chat).value;
  const first = now.messages[0];
  if (now.isLoading || !now.hasOlder || !now.isReady || !first) return;
  await loading(chat, async () => {
    const page = await history(chat, PAGE, { before: first.id });
    patchThread(chat, {
      messages: join(page, thread(chat).value.messages),
      hasOlder: page.length >= PAGE,
    });
  });
}

/** Loads the page behind what is there, after a jump far back. */
export async function loadNewer(chat: string): Promise<void> {
  const now = thread(chat).value;
  const last = now.messages.at(-1);
  if (now.isLoading || !now.hasNewer || !last) return;
  await loading(chat, async () => {
    const page = await history(chat, PAGE, { after: last.id });
    patchThread(chat, {
      messages: join(thread(chat).value.messages, page),
      hasNewer: page.length >= PAGE,
    });
  });
}

/** Leaves the place that was jumped to: the newest page again, in place of what is there. */
export async function loadNewest(chat: string): Promise<void> {
  if (!thread(chat).value.hasNewer) return;
  await loading(chat, async () => {
    const messages = await history(chat, PAGE);
    patchThread(chat, { messages, hasOlder: messages.length >= PAGE, hasNewer: false });
  });
}

/** Has a message there, however old, with those around it; false when the chat does not have it. */
export async function loadAround(chat: string, id: string): Promise<boolean> {
  await loadThread(chat, 0);
  if (findMessage(chat, id)) return true;
  const jumped = loading(chat, async () => {
    const page = await rpc<Around>("messages.around", { chat, message: id, limit: AROUND });
    const { messages, hasNewer } = thread(chat).value;
    const isNear = page.messages.some((row) => row.id === messages[0]?.id);
    patchThread(chat, {
      messages: isNear ? join(page.messages, messages) : page.messages,
      hasOlder: page.older,
      hasNewer: isNear ? hasNewer : page.newer,
    });
  });
  return jumped.then(
    () => true,
    (error) => {
      if (error instanceof ApiError && error.code === "NOT_FOUND") return false;
      throw error;
    },
  );
}

interface Around {
  messages: MessageRow[];
  older: boolean;
  newer: boolean;
}

// What comes while a page is on its way, and has no place yet: it is put again when the page is there.
const late = new Map<string, MessageRow[]>();

async function loading(chat: string, work: () => Promise<void>): Promise<void> {
  patchThread(chat, { isLoading: true });
  try {
    await work();
  } finally {
    patchThread(chat, { isLoading: false });
    const came = late.get(chat) ?? [];
    late.delete(chat);
    came.forEach(putMessage);
  }
}

/** Puts a message where it belongs, or its new form in place of the old one. Unopened chats keep nothing. */
export function putMessage(row: MessageRow): void {
  const there = threads.get(row.chat);
  if (!there) return;
  const { isReady, isLoading } = there.value;
  if (!isReady || isElsewhere(there.value, row)) {
    if (isLoading) late.set(row.chat, [...(late.get(row.chat) ?? []), row]);
    return;
  }
  patchThread(row.chat, { messages: placed(there.value.messages, row) });
}

/** The messages with one more, or with its new form; one that got its number goes where that belongs. */
export function placed(messages: MessageRow[], row: MessageRow): MessageRow[] {
  const at = messages.findLastIndex((one) => one.id === row.id);
  const next = [...messages];
  if (at >= 0 && messages[at]?.seq === row.seq) {
    next[at] = row;
    return next;
  }
  if (at >= 0) next.splice(at, 1);
  next.splice(placeOf(next, row), 0, row);
  return next;
}

/** Changes some fields of a message that is loaded. False when it is not. */
export function patchMessage(chat: string, id: string, changed: Partial<MessageRow>): boolean {
  const there = threads.get(chat);
  const at = there?.value.messages.findLastIndex((one) => one.id === id) ?? -1;
  const old = there?.value.messages[at];
  if (!there || !old) return false;
  const messages = [...there.value.messages];
  messages[at] = { ...old, ...changed };
  patchThread(chat, { messages });
  return true;
}

/** Takes messages away that are gone. */
export function dropMessages(chat: string, ids: string[]): void {
  const there = threads.get(chat);
  if (!there) return;
  const gone = new Set(ids);
  patchThread(chat, { messages: there.value.messages.filter((row) => !gone.has(row.id)) });
}

/** Forgets what is loaded: it was cleared, too much was missed, or the profile is locked. */
export function forgetThreads(chat?: string): void {
  for (const [id, there] of threads) {
    if (chat !== undefined && id !== chat) continue;
    there.value = { ...there.value, messages: [], hasOlder: true, hasNewer: false, isReady: false, isLoading: false };
  }
}

/** Forgets every chat and what happened in it: the profile is locked. */
export function forgetAllThreads(): void {
  forgetThreads();
  for (const there of threads.values()) there.value = { ...there.value, pending: [], notes: [] };
  notes.clear();
}

/** A loaded message. */
export function findMessage(chat: string, id: string): MessageRow | undefined {
  return threads.get(chat)?.value.messages.findLast((row) => row.id === id);
}

const notes = new Map<string, NoteRow[]>();

/** Keeps what happened in a chat beside messages, once. */
export function putNote(note: NoteRow): void {
  const there = notes.get(note.chat) ?? [];
  const key = JSON.stringify(note);
  if (there.some((one) => JSON.stringify(one) === key)) return;
  const all = [...there, note].sort((a, b) => a.ts_ms - b.ts_ms).slice(-500);
  notes.set(note.chat, all);
  if (threads.has(note.chat)) patchThread(note.chat, { notes: all });
}

/** The note that an event is, if it is one. */
export function noteOf(event: EventRow, tsMs: number): NoteRow | null {
  switch (event.type) {
    case "group_change":
    case "key_rotated":
      return event;
    case "timer":
    case "identity_changed":
    case "gap":
      return { ...event, ts_ms: tsMs };
    default:
      return null;
  }
}

/** Loads what happened lately beside messages, from the events that are kept. */
export async function loadNotes(): Promise<void> {
  const { first, last } = await rpc<{ first: number; last: number }>("events.consumers");
  const after = Math.max(first, last - 1000);
  if (after >= last) return;
  const { events } = await rpc<{ events: ToldRow[] }>("events.list", { after: Math.max(1, after), limit: 1000 });
  for (const told of events) {
    const note = noteOf(told.event, told.ts_ms);
    if (note) putNote(note);
  }
}

function notesOf(chat: string): NoteRow[] {
  return notes.get(chat) ?? [];
}

/** A page of a chat, oldest first: the newest one, or the one before or behind a message. */
async function history(chat: string, limit: number, at: { before?: string; after?: string } = {}): Promise<MessageRow[]> {
  const { messages } = await rpc<{ messages: MessageRow[] }>("messages.history", { chat, limit, ...at });
  return messages;
}

/** Older and newer messages as one list; what is in both is taken from the newer. */
function join(older: MessageRow[], newer: MessageRow[]): MessageRow[] {
  const known = new Set(newer.map((row) => row.id));
  return [...older.filter((row) => !known.has(row.id)), ...newer];
}

/** Whether it belongs to a page that is not loaded: it comes with that page. */
export function isElsewhere({ messages, hasOlder, hasNewer }: Pick<Thread, "messages" | "hasOlder" | "hasNewer">, row: MessageRow): boolean {
  const [first, last] = [messages[0], messages.at(-1)];
  if (!first || !last || messages.some((one) => one.id === row.id)) return false;
  return (hasOlder && isEarlier(row, first)) || (hasNewer && isEarlier(last, row));
}

function isEarlier(a: MessageRow, b: MessageRow): boolean {
  return a.seq != null && b.seq != null ? a.seq < b.seq : a.ts_ms < b.ts_ms;
}

function placeOf(messages: MessageRow[], { seq, ts_ms }: MessageRow): number {
  if (seq == null) return messages.length;
  const isEarlier = (one: MessageRow) => (one.seq == null ? one.ts_ms <= ts_ms : one.seq < seq);
  return messages.findLastIndex(isEarlier) + 1;
}

function firstUnread(messages: MessageRow[], unread: number): string | null {
  if (unread === 0) return null;
  const others = messages.filter((row) => !row.own);
  return others.at(-Math.min(unread, others.length))?.id ?? null;
}

/** Fetches a message that an event tells of and that is not loaded; one that is gone is not missed. */
export function fetchMessage(id: string): void {
  rpc<{ message: MessageRow }>("messages.info", { id }).then(({ message }) => putMessage(message), (error) => {
    if (error?.code !== "NOT_FOUND") report(error);
  });
}
