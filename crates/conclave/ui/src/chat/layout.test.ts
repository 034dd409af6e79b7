// How messages become lines.
import { expect, test } from "vitest";
import type { MessageRow } from "../api/rows";
import { layout, type NoteRow } from "./layout";

const NOON = new Date(2026, 4, 5, 12).getTime();
const message = (id: string, who: string, ms: number) =>
  ({ id, ts_ms: ms, own: who === "me", from: { account: who, identifier: "", name: "" } }) as MessageRow;

const shape = (lines: ReturnType<typeof layout>) =>
  lines.map((line) => (line.kind === "message" ? `${line.key}${line.first ? "^" : ""}${line.last ? "$" : ""}` : line.kind));

/** One person's messages within minutes are one group; somebody else, a pause or a new day begin another. */
test("bubbles are grouped", () => {
  const lines = layout(
    [
      message("a", "x", NOON),
      message("b", "x", NOON + 60_000),
      message("c", "me", NOON + 70_000),
      message("d", "me", NOON + 3_600_000),
      message("e", "me", NOON + 86_400_000),
    ],
    [],
    null,
  );
  expect(shape(lines)).toEqual(["day", "a^", "b$", "c^$", "d^$", "day", "e^$"]);
});

/** The unread mark and notes stand where they belong, and nothing is grouped across them. */
test("marks and notes cut groups", () => {
  const note = { type: "group_change", ts_ms: NOON + 20_000 } as NoteRow;
  const late = { type: "group_change", ts_ms: NOON + 90_000 } as NoteRow;
  const rows = [message("a", "x", NOON), message("b", "x", NOON + 30_000), message("c", "x", NOON + 40_000)];
  expect(shape(layout(rows, [note, late], "c"))).toEqual(["day", "a^$", "note", "b^$", "unread", "c^$", "note"]);
});
