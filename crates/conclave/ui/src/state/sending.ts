// Sends: what is written stands in the chat at once, and goes on from there.
import { batch } from "@preact/signals";
import { upload } from "../api/files";
import { ApiError, NO_ANSWER, onceKey, rpc } from "../api/rpc";
import type { FileRow, MessageRow, ReplyRow } from "../api/rows";
import { t } from "../text/index";
import { chats, patchChat } from "./chats";
import { openDialog } from "./dialogs";
import { blobOf, loadFiles } from "./files";
import { me, profile } from "./me";
import { type Notice, report, words } from "./notices";
import { dropMessages, patchMessage, patchThread, putMessage, thread } from "./threads";

/** What a message is made of. */
export interface Outgoing {
  chat: string;
  text: string;
  reply?: ReplyRow | null;
  files?: File[];
  mentions?: string[];
}

interface Job extends Outgoing {
  key: string;
  cancel: AbortController;
}

const jobs = new Map<string, Job>();
const AGAIN_MS = 3_000;
/** Jobs that no answer came for. */
const waiting = new Set<string>();

/** Goes on with what no answer came for: the program is back. */
export function resumeSending(): void {
  const ids = [...waiting];
  waiting.clear();
  for (const id of ids) void run(id);
}

/** Sends; the chat shows it at once. */
export function send(what: Outgoing): void {
  const id = `local ${onceKey()}`;
  jobs.set(id, { ...what, key: onceKey(), cancel: new AbortController() });
  const { pending } = thread(what.chat).value;
  patchThread(what.chat, { pending: [...pending, draw(id, what)] });
  void run(id);
}

/** Sends one again that failed: one of before it was taken goes on, another is written anew. */
export async function retry(row: MessageRow): Promise<void> {
  if (jobs.has(row.id)) {
    patchPending(row.chat, row.id, { state: "sending", reason: "" });
    return run(row.id);
  }
  const files = await Promise.all(row.attachments.map((file, index) => copyOf(row.id, file, index + 1)));
  send({ chat: row.chat, text: row.text, reply: row.reply, files });
  await rpc("messages.delete", { id: row.id });
  dropMessages(row.chat, [row.id]);
}

/** A file of an own message, as it was when it was picked. */
async function copyOf(message: string, file: FileRow, number: number): Promise<File> {
  const { url } = await blobOf(message, number);
  return new File([await (await fetch(url)).blob()], file.name, { type: file.media_type });
}

/** Takes back one that the program has not taken yet. */
export function cancelSending(row: MessageRow): void {
  jobs.get(row.id)?.cancel.abort();
  jobs.delete(row.id);
  dropPending(row.chat, row.id);
}

/** Whether it is not taken by the program yet. */
export function isLocal(row: MessageRow): boolean {
  return row.id.startsWith("local ");
}

/** Changes the words of a message: at once on the page, taken back when it does not work. */
export async function edit(row: MessageRow, text: string, mentions: string[] = []): Promise<void> {
  patchMessage(row.chat, row.id, { text, mentions: [], edited_ts_ms: Date.now() });
  await settle(row, rpc<MessageRow>("messages.edit", { id: row.id, text, mentions, idempotency_key: onceKey() }));
}

/** Puts an emoji on a message; the same again takes it away. */
export async function react(row: MessageRow, emoji: string): Promise<void> {
  const own = row.reactions.find((one) => one.own);
  const wanted = own?.emoji === emoji ? "" : emoji;
  const others = row.reactions.filter((one) => !one.own);
  const mine = wanted === "" ? [] : [{ from: self(), own: true, emoji: wanted }];
  patchMessage(row.chat, row.id, { reactions: [...others, ...mine] });
  await settle(row, rpc<MessageRow>("messages.react", { id: row.id, emoji: wanted, idempotency_key: onceKey() }));
}

/** Pins a message for everybody, or takes the pin away. */
export async function pin(row: MessageRow, pinned: boolean): Promise<void> {
  patchMessage(row.chat, row.id, { pinned });
  await settle(row, rpc<MessageRow>("messages.pin", { id: row.id, pinned, idempotency_key: onceKey() }));
}

/** Deletes messages here, or for everyone. */
export async function remove(rows: MessageRow[], forEveryone: boolean): Promise<void> {
  for (const row of rows) {
    try {
      await rpc("messages.delete", { id: row.id, for_everyone: forEveryone, idempotency_key: onceKey() });
      if (forEveryone) patchMessage(row.chat, row.id, { deleted_by: self(), text: "", attachments: [], reactions: [] });
      else dropMessages(row.chat, [row.id]);
    } catch (error) {
      report(error);
    }
  }
}

async function settle(before: MessageRow, call: Promise<MessageRow>): Promise<void> {
  try {
    putMessage(await call);
  } catch (error) {
    putMessage(before);
    report(error);
  }
}

async function run(id: string): Promise<void> {
  const job = jobs.get(id);
  if (!job) return;
  try {
    const row = job.files?.length ? await sendFiles(id, job, job.files) : await sendText(job);
    jobs.delete(id);
    batch(() => taken(id, job, row));
  } catch (error) {
    if (error instanceof DOMException) return;
    if (error instanceof ApiError && error.code === NO_ANSWER) {
      // The key of the call is the same the next time: it is done once, whether or not it arrived.
      waiting.add(id);
      setTimeout(() => waiting.delete(id) && void run(id), AGAIN_MS);
      return;
    }
    patchPending(job.chat, id, { state: "failed", reason: words(error).text });
    report(error, nextStep(job.chat, error));
  }
}

/** Where the person can do something about a message that trust keeps back: the numbers to compare. */
function nextStep(chat: string, error: unknown): Notice["next"] {
  if (!(error instanceof ApiError) || !["UNVERIFIED", "KEY_CHANGED"].includes(error.code)) return undefined;
  const who = chats.value.find((one) => one.id === chat)?.with?.account;
  return {
    label: t(who === undefined ? "chat.group_info" : "chat.compare"),
    run: () => (who === undefined ? openDialog("group", { chat }) : openDialog("safety", { who })),
  };
}

function taken(id: string, job: Job, row: MessageRow): void {
  dropPending(job.chat, id);
  putMessage(row);
  if (row.attachments.length > 0) loadFiles(row.chat).catch(() => undefined);
  const chat = chats.value.find((one) => one.id === row.chat);
  if (chat) patchChat(row.chat, { last: row, ts_ms: Math.max(chat.ts_ms, row.ts_ms) });
}

function sendText(job: Job): Promise<MessageRow> {
  return rpc<MessageRow>("messages.send", {
    to: job.chat,
    text: job.text,
    reply_to: job.reply?.id,
    mentions: job.mentions,
    wait: "queued",
    idempotency_key: job.key,
  });
}

async function sendFiles(id: string, job: Job, list: File[]): Promise<MessageRow> {
  const total = list.reduce((sum, file) => sum + file.size, 0);
  const uploads: string[] = [];
  let before = 0;
  for (const file of list) {
    const taken = await upload(
      file,
      (bytes) => patchPending(job.chat, id, { progress: [before + bytes, total] }),
      job.cancel.signal,
    );
    uploads.push(taken.upload);
    before += file.size;
  }
  try {
    return await rpc<MessageRow>("attachments.send", {
      to: job.chat,
      text: job.text,
      paths: [],
      uploads,
      reply_to: job.reply?.id,
      idempotency_key: job.key,
    });
  } catch (error) {
    // The uploads are gone with the call: another try uploads again, and is another call.
    if (error instanceof ApiError) job.key = onceKey();
    throw error;
  }
}

/** A message that is on its way from the page to the program. */
export interface LocalRow extends MessageRow {
  /** Bytes done and in all. */
  progress?: [number, number];
}

function patchPending(chat: string, id: string, changed: Partial<LocalRow>): void {
  const { pending } = thread(chat).value;
  patchThread(chat, { pending: pending.map((row) => (row.id === id ? { ...row, ...changed } : row)) });
}

function dropPending(chat: string, id: string): void {
  const { pending } = thread(chat).value;
  patchThread(chat, { pending: pending.filter((row) => row.id !== id) });
}

function self() {
  return {
    account: me.value?.account ?? "",
    identifier: me.value?.identifier ?? "",
    name: profile.value?.person.name ?? "",
  };
}

function draw(id: string, what: Outgoing): MessageRow {
  const now = Date.now();
  return {
    id,
    chat: what.chat,
    from: self(),
    own: true,
    text: what.text,
    state: "sending",
    reason: "",
    ts: "",
    ts_ms: now,
    read: true,
    reply: what.reply ?? null,
    mentions: [],
    reactions: [],
    forwarded: false,
    expires_s: 0,
    attachments: (what.files ?? []).map(fileRow),
    pinned: false,
  };
}

function fileRow(file: File): FileRow {
  return { name: file.name, media_type: file.type, length: file.size, width: 0, height: 0 };
}
