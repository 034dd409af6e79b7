// The arithmetic of long lists.
import { expect, test } from "vitest";
import { Heights, span } from "./window";

const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);

/** Of many lines only those near the screen are drawn, and they cover it. */
test("a window covers the screen and no more than its margin", () => {
  const heights = new Heights();
  heights.set(keys(10_000), () => 50);
  const [from, to] = span(heights, 10_000, 250_000, 800, 600);
  expect(heights.top(from)).toBeLessThanOrEqual(250_000 - 600);
  expect(heights.top(to)).toBeGreaterThanOrEqual(250_000 + 1400);
  expect(to - from).toBeLessThan(50);
});

/** A measured line moves the ones behind it and stays known when others come before it. */
test("measured heights stay with their line", () => {
  const heights = new Heights();
  heights.set(keys(3), () => 10);
  expect(heights.measured("k1", 100)).toBe(true);
  expect(heights.measured("k1", 100.2)).toBe(false);
  heights.set(["new", ...keys(3)], () => 10);
  expect([0, 1, 2, 3, 4].map((index) => heights.top(index))).toEqual([0, 10, 20, 120, 130]);
  expect([heights.at(-5), heights.at(19), heights.at(119), heights.at(9_999)]).toEqual([0, 1, 2, 3]);
});

/** An empty list draws nothing. */
test("nothing has no window", () => {
  const heights = new Heights();
  heights.set([], () => 10);
  expect(span(heights, 0, 0, 500, 100)).toEqual([0, 0]);
});
