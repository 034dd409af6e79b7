// Words of other people made harmless: controls that turn or hide text become visible marks.

// Everything that draws nothing but changes its surroundings, save line breaks and tabs.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202d\u202e\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;
// In names also the other bidi controls, and line breaks.
const IN_NAMES = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/** What stands for a control that is not let through. */
export const MARK = "\u2423";

/** The text of a message: its lines stay, overriding and hidden controls become marks. */
export function safeText(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(CONTROLS, MARK);
}

/** A name or another single line: one line without any control, at most `max` characters. */
export function safeName(name: string, max = 120): string {
  const line = name.slice(0, max * 8).replace(IN_NAMES, MARK);
  const letters = Array.from(line);
  return letters.length > max ? `${letters.slice(0, max).join("")}…` : line;
}

const FILE_HEAD = 28;
const FILE_TAIL = 16;

/** The name of a file in one line: of a long one the middle is left out, so that its kind is seen. */
export function safeFileName(name: string): string {
  const letters = Array.from(safeName(name, 400));
  if (letters.length <= FILE_HEAD + FILE_TAIL + 1) return letters.join("");
  return `${letters.slice(0, FILE_HEAD).join("")}…${letters.slice(-FILE_TAIL).join("")}`;
}

/** The direction of the first letter that has one. */
export function directionOf(text: string): "ltr" | "rtl" | undefined {
  const first = /\p{L}/u.exec(text)?.[0];
  if (first === undefined) return undefined;
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(first) ? "rtl" : "ltr";
}
