// The rows that calls and events give, as docs/rpc.md and `conclave rpc schema` describe them.

/** Somebody; `account` is who they are, `identifier` and `name` are how they are called. */
export interface PersonRow {
  account: string;
  identifier: string;
  name: string;
}

/** Where an own message is; `received` for those of others. */
export type MessageState = "queued" | "accepted" | "delivered" | "read" | "failed" | "received" | string;

export interface ReplyRow {
  id: string;
  from: PersonRow;
  text: string;
  here: boolean;
}

/** `start` and `length` in bytes of UTF-8. */
export interface RangeRow {
  start: number;
  length: number;
}

export interface MentionRow extends RangeRow {
  person: PersonRow;
  own: boolean;
}

export interface ReactionRow {
  from: PersonRow;
  own: boolean;
  emoji: string;
}

export interface FileRow {
  name: string;
  media_type: string;
  length: number;
  width: number;
  height: number;
  /** A small picture of it, base64, when its sender made one. */
  preview?: string | null;
  state?: string;
}

export interface CardRow {
  identifier: string;
  name: string;
}

export interface MessageRow {
  id: string;
  chat: string;
  from: PersonRow;
  own: boolean;
  text: string;
  state: MessageState;
  reason: string;
  seq?: number | null;
  ts: string;
  ts_ms: number;
  read: boolean;
  reply?: ReplyRow | null;
  mentions: MentionRow[];
  reactions: ReactionRow[];
  edited_ts_ms?: number | null;
  deleted_by?: PersonRow | null;
  forwarded: boolean;
  expires_s: number;
  expires_ts_ms?: number | null;
  attachments: FileRow[];
  contact?: CardRow | null;
  pinned: boolean;
}

export interface FoundRow extends MessageRow {
  chat_name: string;
  chat_with?: PersonRow | null;
  ranges: RangeRow[];
}

export interface ChatRow {
  id: string;
  /** `direct` or `group`. */
  kind: string;
  name: string;
  with?: PersonRow | null;
  /** `open` is the one in which can be written. */
  state: string;
  reason: string;
  unread: number;
  last?: MessageRow | null;
  ts: string;
  ts_ms: number;
  muted_until_ts_ms?: number | null;
  archived: boolean;
  pinned: boolean;
  marked_unread: boolean;
  draft: string;
  /** Fields that newer programs give. */
  confirmed?: boolean;
  trust?: string;
  timer_s?: number;
}

export interface GroupMemberRow {
  person: PersonRow;
  role: "owner" | "admin" | "member" | string;
  devices: number;
  own: boolean;
  confirmed: boolean;
}

export interface WishRow {
  text: string;
  reason: string;
}

export interface GroupRow extends ChatRow {
  epoch?: number | null;
  authenticator: string;
  devices: number;
  has_link: boolean;
  members: GroupMemberRow[];
  waiting: WishRow[];
  failed: WishRow[];
}

export interface GroupLinkRow {
  chat: string;
  name: string;
  link: string;
}

export interface RequestRow {
  chat: string;
  confirmed: boolean;
  from: PersonRow;
  group?: string | null;
  text: string;
  ts: string;
  ts_ms: number;
}

export interface ContactRow extends PersonRow {
  blocked: boolean;
  confirmed: boolean;
  fingerprint: string;
  rotated_ms?: number | null;
  rotated_ts?: string | null;
  trust: string;
}

export interface SafetyRow {
  number: string;
  qr: string;
  trust: string;
  with: PersonRow;
  rotated_ms?: number | null;
  rotated_ts?: string | null;
}

export interface DeviceRow {
  device: string;
  name: string;
  role: string;
  this: boolean;
  added: string;
  added_ms: number;
  expires: string;
  expires_ms: number;
  /** When it was online last, of those that are known. */
  seen_ms?: number | null;
}

export interface DeviceMarkRow {
  person: PersonRow;
  device: string;
  delivered: boolean;
  read: boolean;
}

export interface VersionRow {
  text: string;
  ts: string;
  ts_ms: number;
}

export interface InfoRow {
  message: MessageRow;
  epoch?: number | null;
  devices: number;
  versions: VersionRow[];
  marks: DeviceMarkRow[];
}

/** A file of a message and where it is: `remote`, `uploading`, `loading`, `loaded` or `failed`. */
export interface AttachmentRow {
  id: string;
  message: string;
  number: number;
  chat: string;
  from: PersonRow;
  own: boolean;
  name: string;
  media_type: string;
  length: number;
  state: string;
  bytes_done: number;
  bytes_total: number;
  reason: string;
  path: string;
}

export interface TimerRow {
  chat: string;
  seconds: number;
  by?: PersonRow | null;
}

export interface WhoamiRow {
  account: string;
  device: string;
  fingerprint: string;
  identifier: string;
  server: string;
}

export interface StatusRow {
  account?: WhoamiRow | null;
  clock_skew_ms?: number | null;
  online: boolean;
  queued: number;
  removed: boolean;
  requests: number;
  unread: number;
  version: string;
  warnings: string[];
}

export interface ProfileRow {
  person: PersonRow;
  /** JPEG, base64. */
  picture?: string | null;
  picture_bytes?: number | null;
}

export interface SettingRow {
  setting: string;
  value: string;
}

export interface HistoryRow {
  direction: string;
  done: boolean;
  messages: number;
  bytes_done: number;
  bytes_total: number;
  reason: string;
}

export interface FindingRow {
  check: string;
  ok: boolean;
  text: string;
}

/** `account.state`: what this profile is. */
export interface AccountStateRow {
  state: "empty" | "code_sent" | "linking" | "open";
  identifier?: string;
  server?: string;
  /** What to show while it is linking. */
  link?: LinkRow | null;
  /** What opens the profile: only with a passphrase it can be locked. */
  unlock?: "passphrase" | "key_file";
}

/** What a new device shows while it waits to be let in. */
export interface LinkRow {
  uri: string;
  code: string;
  valid_ms: number;
}

/** `qr.draw`: rows of `0` and `1`, `size` of each. */
export interface QrRow {
  size: number;
  rows: string[];
}

/** Who came, went or was given what in a group. */
export interface GroupChangeRow {
  type: "group_change";
  chat: string;
  group: string;
  change: string;
  by?: PersonRow | null;
  own: boolean;
  about?: PersonRow | null;
  about_own: boolean;
  value: string;
  seq?: number | null;
  ts: string;
  ts_ms: number;
}

export interface KeyRotatedRow {
  type: "key_rotated";
  chat: string;
  with?: PersonRow | null;
  ts: string;
  ts_ms: number;
}

/** What an event that is kept tells: the row that `listen -o json` prints. */
export type EventRow =
  | ({ type: "message" } & MessageRow)
  | { type: "changed"; what: string; by: PersonRow; message: MessageRow }
  | { type: "state"; chat: string; id: string; state: MessageState }
  | ({ type: "timer" } & TimerRow)
  | ({ type: "request" } & RequestRow)
  | { type: "identity_changed"; chat: string; with: PersonRow }
  | { type: "gap"; chat: string; from_seq: number; to_seq: number }
  | ({ type: "history" } & HistoryRow)
  | { type: "warning"; message: string }
  | GroupChangeRow
  | KeyRotatedRow;

/** An event with its number. */
export interface ToldRow {
  cursor: number;
  ts: string;
  ts_ms: number;
  event: EventRow;
}

/** What is told of the moment and not kept. Whoever missed some is told `again`. */
export type LiveRow =
  | { type: "typing"; chat: string; from: PersonRow }
  | ({ type: "progress" } & AttachmentRow)
  | ({ type: "history" } & HistoryRow)
  | { type: "connection"; online: boolean; removed: boolean; queued: number; reason: string }
  | ChatLiveRow
  | { type: "chat_gone"; chat: string }
  | { type: "people" | "devices" | "settings" | "again" };

/** A chat as it is now, and the messages of it that changed or came; with `reload` too many to name. */
export interface ChatLiveRow {
  type: "chat";
  chat: ChatRow;
  messages: MessageRow[];
  gone: string[];
  reload: boolean;
}
