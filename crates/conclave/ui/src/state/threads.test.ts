// Where messages stand in a chat as they come.
import { expect, test } from "vitest";
import type { MessageRow } from "../api/rows";
import { isElsewhere, placed } from "./threads";

const message = (id: string, seq: number | null, ts_ms: number) => ({ id, seq, ts_ms }) as MessageRow;
const ids = (messages: MessageRow[]) => messages.map((row) => row.id).join("");

/** An own message without a number yet stays where it was written when the next one comes with a number. */
test("what comes later stands later", () => {
  const written = placed([message("a", 5, 10)], message("b", null, 20));
  expect(ids(placed(written, message("c", 7, 30)))).toBe("abc");
});

/** One that was late on the way is put before what has a greater number. */
test("numbers decide over times", () => {
  expect(ids(placed([message("a", 5, 10), message("c", 7, 30)], message("b", 6, 90)))).toBe("abc");
});

/** A message that waited takes the place of its number when it gets one; its new form stands there once. */
test("a number moves a message", () => {
  const waiting = [message("a", 5, 10), message("w", null, 20), message("b", 6, 30)];
  const moved = placed(waiting, message("w", 7, 20));
  expect(ids(moved)).toBe("abw");
  expect(ids(placed(moved, { ...message("w", 7, 20), state: "read" }))).toBe("abw");
});

/** Of a long chat a part in the middle is loaded: what is before or behind it waits for its page, what is in it does not. */
test("a message of another page waits for it", () => {
  const middle = { messages: [message("a", 5, 10), message("b", 9, 30)], hasOlder: true, hasNewer: true };
  const where = (seq: number | null, ts: number) => isElsewhere(middle, message("x", seq, ts));
  expect([where(4, 99), where(7, 99), where(10, 0), where(null, 40), where(null, 20)]).toEqual([true, false, true, true, false]);
  expect(isElsewhere({ ...middle, hasNewer: false }, message("x", 10, 40))).toBe(false);
  expect(isElsewhere(middle, message("b", 99, 99))).toBe(false);
});
