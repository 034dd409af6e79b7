// What the catalogues hold, and how words of others are made harmless.
import { expect, test } from "vitest";
import ar from "./ar.json";
import en from "./en.json";
import { MARK, safeFileName, safeName, safeText } from "./safe";

const holes = (entry: unknown): string[] =>
  [...new Set(JSON.stringify(entry).match(/\{\w+\}/g) ?? [])].filter((hole) => hole !== "{n}").sort();

/** Each language has each text, with the same places to fill in. */
test("catalogues have the same keys and holes", () => {
  expect(Object.keys(ar).sort()).toEqual(Object.keys(en).sort());
  for (const [key, entry] of Object.entries(en)) {
    expect([key, holes(ar[key as keyof typeof ar])]).toEqual([key, holes(entry)]);
  }
});

/** A name cannot turn what stands beside it, break the line or grow without end. */
test("names lose every control", () => {
  expect(safeName("photo\u202Egpj.exe\n")).toBe(`photo${MARK}gpj.exe${MARK}`);
  expect(safeName("\u2066a\u2069")).toBe(`${MARK}a${MARK}`);
  expect(Array.from(safeName("x".repeat(10_000)))).toHaveLength(121);
});

/** A text keeps its lines and its marks of direction; overrides and hidden letters show. */
test("texts lose overriding and hidden controls", () => {
  expect(safeText("a\r\nb\u0000c\u202Ed\u{E0041}")).toBe(`a\nb${MARK}c${MARK}d${MARK}`);
  expect(safeText("שלום\u200F")).toBe("שלום\u200F");
});

/** A long file name shows its end, however long it is within reason. */
test("file names show their kind", () => {
  expect(safeFileName(`${"a".repeat(200)}.pdf.exe`)).toMatch(/^a{28}…a{8}\.pdf\.exe$/);
  expect(safeFileName("a.png")).toBe("a.png");
});
