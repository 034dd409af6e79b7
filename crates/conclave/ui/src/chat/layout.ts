// Turns the messages of a chat into the lines that are shown: days, bubbles in groups, what happened between.
import type { EventRow, MessageRow } from "../api/rows";
import { dayOf } from "../text/time";

/** What happened in a chat beside messages. */
export type NoteRow = { ts_ms: number } & Extract<
  EventRow,
  { type: "group_change" | "key_rotated" | "timer" | "identity_changed" | "gap" }
>;

/** One line of the conversation. */
export type Line =
  | { kind: "day"; key: string; ms: number }
  | { kind: "unread"; key: string }
  | { kind: "note"; key: string; note: NoteRow }
  | MessageLine;

/** A message and its place in the group of bubbles around it. */
export interface MessageLine {
  kind: "message";
  key: string;
  row: MessageRow;
  /** First of its group: the name stands above it in groups. */
  first: boolean;
  /** Last of its group: the picture stands beside it. */
  last: boolean;
}

const TOGETHER_MS = 5 * 60_000;

/** The lines of messages (oldest first) and notes; the unread mark stands before `unreadFrom`. */
export function layout(messages: MessageRow[], notes: NoteRow[], unreadFrom: string | null): Line[] {
  const lines: Line[] = [];
  let waiting = 0;
  let day = 0;
  let before: MessageLine | null = null;
  const dayBreak = (ms: number) => {
    if (dayOf(ms) === day) return;
    day = dayOf(ms);
    before = null;
    lines.push({ kind: "day", key: `day ${day}`, ms });
  };
  const noteBefore = (ms: number) => {
    for (let note = notes[waiting]; note && note.ts_ms <= ms; note = notes[++waiting]) {
      dayBreak(note.ts_ms);
      lines.push({ kind: "note", key: `note ${note.ts_ms} ${waiting}`, note });
      before = null;
    }
  };
  for (const row of messages) {
    noteBefore(row.ts_ms);
    dayBreak(row.ts_ms);
    if (row.id === unreadFrom) {
      lines.push({ kind: "unread", key: "unread" });
      before = null;
    }
    const follows: boolean = before !== null && isTogether((before as MessageLine).row, row);
    if (before && follows) (before as MessageLine).last = false;
    before = { kind: "message", key: row.id, row, first: !follows, last: true };
    lines.push(before);
  }
  noteBefore(Infinity);
  return lines;
}

function isTogether(a: MessageRow, b: MessageRow): boolean {
  return a.from.account === b.from.account && a.own === b.own && b.ts_ms - a.ts_ms < TOGETHER_MS;
}
