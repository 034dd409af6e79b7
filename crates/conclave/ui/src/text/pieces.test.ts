// Where a search found words in a text.
import { expect, test } from "vitest";
import { around, pieces } from "./pieces";

const cut = (text: string, ...ranges: [number, number][]) =>
  pieces(text, ranges.map(([start, length]) => ({ start, length }))).map((one) => [one.text, one.hit]);

/** Places are bytes: letters of two and four bytes before a word do not shift it. */
test("places are bytes, pieces are strings", () => {
  expect(cut("é😀 lake", [7, 4])).toEqual([["é😀 ", false], ["lake", true]]);
  expect(cut("lake lake", [5, 4], [0, 4])).toEqual([["lake", true], [" ", false], ["lake", true]]);
});

/** Places that lie outside, overlap or are empty are left out; the text stays whole. */
test("places that do not fit are left out", () => {
  for (const ranges of [[[0, 99]], [[-1, 2]], [[2, 0]], [[0, 3], [1, 2]]] as [number, number][][]) {
    expect(cut("words", ...ranges).map(([text]) => text).join("")).toBe("words");
  }
});

/** Of a long text the words before the first place are cut, never the place. */
test("a long text is cut before the first place", () => {
  const shown = around(pieces(`${"x".repeat(500)} lake`, [{ start: 501, length: 4 }]), 60);
  expect(shown[0]?.text.startsWith("…")).toBe(true);
  expect(shown[0]?.text.length).toBeLessThan(40);
  expect(shown[1]).toEqual({ text: "lake", hit: true });
});
