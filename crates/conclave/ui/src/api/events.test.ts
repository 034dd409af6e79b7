// What the stream of events is cut into, however it arrives.
import { expect, test } from "vitest";
import { FrameCutter } from "./events";

const WHOLE = ": hello\n\nid: 7\nevent: message\ndata: {\"a\":1}\n\nevent: live\ndata: {\"b\":2}\n\n";

/** Frames are the same whether they come at once or a letter at a time; comments give none. */
test("frames do not depend on how they are cut", () => {
  const letters = new FrameCutter();
  const slow = [...WHOLE].flatMap((letter) => letters.push(letter));
  expect(slow).toEqual(new FrameCutter().push(WHOLE));
  expect(slow.map((frame) => [frame.id, frame.event, frame.data])).toEqual([
    ["7", "message", '{"a":1}'],
    ["", "live", '{"b":2}'],
  ]);
});

/** A frame that has not ended is not delivered. */
test("half a frame waits", () => {
  const cutter = new FrameCutter();
  expect(cutter.push("id: 1\ndata: x\n")).toEqual([]);
  expect(cutter.push("\n")).toHaveLength(1);
});
