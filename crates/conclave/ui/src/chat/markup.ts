// Reads the simple markup of a message into parts. It gives words and kinds, never HTML.
import type { MentionRow } from "../api/rows";

/** A part of a line. */
export type Part =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "bold" | "italic" | "strike"; parts: Part[] }
  | { kind: "mention"; text: string; mention: MentionRow }
  | { kind: "link"; text: string; href: string; host: string };

/** A block of a message. */
export type Block = { kind: "code"; text: string } | { kind: "words"; parts: Part[] } | { kind: "quote"; parts: Part[] };

const INLINE =
  /`([^`\n]+)`|(https?:\/\/[^\s<>"'`\u0000-\u001f]+)|(?<![\p{L}\p{N}*])\*(?!\s)([^*\n]+)(?<!\s)\*(?![\p{L}\p{N}*])|(?<![\p{L}\p{N}_])_(?!\s)([^_\n]+)(?<!\s)_(?![\p{L}\p{N}_])|(?<![\p{L}\p{N}~])~(?!\s)([^~\n]+)(?<!\s)~(?![\p{L}\p{N}~])/gu;
const FENCE = /^```[^\n`]*\n([\s\S]*?)(?:\n```[ \t]*$|(?![\s\S]))/gm;

/** The blocks of a text. Mentions are places in it, in bytes of UTF-8. */
export function blocks(text: string, mentions: MentionRow[] = []): Block[] {
  const found: Block[] = [];
  const places = mentionPlaces(text, mentions);
  let at = 0;
  for (const match of text.matchAll(FENCE)) {
    pushWords(found, text, at, match.index, places);
    found.push({ kind: "code", text: match[1] ?? "" });
    at = match.index + match[0].length;
  }
  pushWords(found, text, at, text.length, places);
  return found;
}

/** The text without its markup, as it is read out or shown in one line. */
export function plain(text: string): string {
  const flat = (parts: Part[]): string =>
    parts.map((part) => ("parts" in part ? flat(part.parts) : part.text)).join("");
  return blocks(text)
    .map((block) => (block.kind === "code" ? block.text : flat(block.parts)))
    .join(" ")
    .replace(/\s+/g, " ");
}

interface Place {
  start: number;
  end: number;
  mention: MentionRow;
}

/** Bytes of UTF-8 turned into places of a string; what does not fit is left out. */
export function mentionPlaces(text: string, mentions: MentionRow[]): Place[] {
  if (mentions.length === 0) return [];
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const units = (end: number) => decoder.decode(bytes.subarray(0, end)).length;
  return mentions
    .filter((mention) => mention.length > 0 && mention.start + mention.length <= bytes.length)
    .map((mention) => ({ start: units(mention.start), end: units(mention.start + mention.length), mention }))
    .sort((a, b) => a.start - b.start);
}

function pushWords(found: Block[], text: string, from: number, to: number, places: Place[]): void {
  const piece = text.slice(from, to);
  if (piece.trim() === "") return;
  const lead = piece.length - piece.trimStart().length;
  let at = from + lead;
  for (const run of piece.trim().split(/(?<=\n)(?=[^>])(?<=^>[^\n]*\n)|(?<=\n)(?=>)/m)) {
    const isQuote = run.startsWith(">");
    const marks = isQuote ? (/^>[ \t]?/.exec(run)?.[0].length ?? 0) : 0;
    const words = run.slice(marks).replace(/\n$/, "");
    found.push({ kind: isQuote ? "quote" : "words", parts: withMentions(words, at + marks, places) });
    at += run.length;
  }
}

function withMentions(text: string, offset: number, places: Place[]): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { start, end, mention } of places) {
    const [from, to] = [start - offset, end - offset];
    if (from < at || to > text.length) continue;
    parts.push(...inline(text.slice(at, from)), { kind: "mention", text: text.slice(from, to), mention });
    at = to;
  }
  return [...parts, ...inline(text.slice(at))];
}

const DEPTH = 3;

function inline(text: string, depth = 0): Part[] {
  if (text === "") return [];
  if (depth > DEPTH) return [{ kind: "text", text }];
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    const part = partOf(match, depth);
    const length = part.kind === "link" ? part.text.length : match[0].length;
    if (match.index > at) parts.push({ kind: "text", text: text.slice(at, match.index) });
    parts.push(part);
    at = match.index + length;
  }
  if (at < text.length) parts.push({ kind: "text", text: text.slice(at) });
  return parts;
}

function partOf(match: RegExpMatchArray, depth: number): Part {
  const [whole, code, url, bold, italic, strike] = match;
  if (code !== undefined) return { kind: "code", text: code };
  if (url !== undefined) return link(url);
  if (bold !== undefined) return { kind: "bold", parts: inline(bold, depth + 1) };
  if (italic !== undefined) return { kind: "italic", parts: inline(italic, depth + 1) };
  if (strike !== undefined) return { kind: "strike", parts: inline(strike, depth + 1) };
  return { kind: "text", text: whole };
}

// Addresses with a user's name in them look like another host: they stay words.
function link(raw: string): Part {
  const text = raw.replace(/[.,;:!?)\]}'"»…]+$/u, "");
  try {
    const url = new URL(text);
    if (url.username !== "" || url.password !== "") return { kind: "text", text };
    const isPlain = text.toLowerCase().split("/")[2] === url.host;
    return { kind: "link", text, href: url.href, host: isPlain ? "" : url.host };
  } catch {
    return { kind: "text", text };
  }
}
