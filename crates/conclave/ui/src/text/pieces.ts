// Cuts a text where a search found words: the places are bytes of UTF-8, the pieces are strings.

/** A piece of a text. */
export interface Piece {
  /** What it says. */
  text: string;
  /** Whether it was looked for. */
  hit: boolean;
}

/** Where a word stands, in bytes of UTF-8. */
export interface Range {
  start: number;
  length: number;
}

/** The pieces of `text`, in order; together they are the text. Ranges that do not fit are left out. */
export function pieces(text: string, ranges: readonly Range[]): Piece[] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const cut = (from: number, to: number) => decoder.decode(bytes.subarray(from, to));
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  const found: Piece[] = [];
  let at = 0;
  for (const range of sorted) {
    const end = range.start + range.length;
    if (range.start < at || range.length <= 0 || end > bytes.length) continue;
    if (range.start > at) found.push({ text: cut(at, range.start), hit: false });
    found.push({ text: cut(range.start, end), hit: true });
    at = end;
  }
  if (at < bytes.length) found.push({ text: cut(at, bytes.length), hit: false });
  return found;
}

/** The pieces around the first hit, so that a line of about `max` characters shows it. */
export function around(all: readonly Piece[], max: number): Piece[] {
  const first = all.findIndex((piece) => piece.hit);
  const before = first > 0 ? all[first - 1] : undefined;
  if (!before || before.text.length <= max / 2) return [...all];
  const tail = [...before.text].slice(-Math.floor(max / 3)).join("");
  return [{ text: `…${tail}`, hit: false }, ...all.slice(first)];
}
