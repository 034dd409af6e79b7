// The one place for what people should know: errors with a next step, things done, things that changed.
import { signal } from "@preact/signals";
import { ApiError, NO_SESSION } from "../api/rpc";
import { maybe, t } from "../text/index";

/** Something to know. An error with a next step stays until it is closed. */
export interface Notice {
  id: number;
  kind: "error" | "warning" | "done";
  text: string;
  /** A second sentence: what to do. */
  hint?: string;
  next?: { label: string; run: () => void };
}

/** The notices on show, oldest first. */
export const notices = signal<Notice[]>([]);

const KEPT = 4;
const DONE_MS = 4_000;
const ERROR_MS = 12_000;
let lastId = 0;

/** Shows a notice; the same words twice stay one. */
export function notify(notice: Omit<Notice, "id">): void {
  const id = ++lastId;
  const others = notices.value.filter((one) => one.text !== notice.text);
  notices.value = [...others, { ...notice, id }].slice(-KEPT);
  if (notice.next && notice.kind !== "done") return;
  setTimeout(() => dismiss(id), notice.kind === "done" ? DONE_MS : ERROR_MS);
}

/** The number of the newest notice so far. */
export function lastNotice(): number {
  return lastId;
}

/** Takes a notice away. */
export function dismiss(id: number): void {
  notices.value = notices.value.filter((one) => one.id !== id);
}

/** Shows what went wrong, in words with a next step. Sessions that ended and cancelled work need none. */
export function report(error: unknown, next?: Notice["next"]): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && error.code === NO_SESSION) return;
  const { text, hint } = words(error);
  notify({ kind: "error", text, hint, next });
}

/** What went wrong as a sentence and a hint. */
export function words(error: unknown): { text: string; hint: string } {
  if (!(error instanceof ApiError)) return { text: t("error.unknown", { reason: String(error) }), hint: "" };
  const known = maybe(`error.${error.code}`);
  const wait = error.retryAfterMs;
  const later = wait ? t("error.retry_in", { n: Math.ceil(wait / 1000) }) : "";
  const hint = hintOf(error);
  const text = known ?? sentence(error.message.replace(/^the server refused: /, ""));
  return { text, hint: [hint, later].filter(Boolean).join(" ") };
}

/** Hints of the program speak of commands; the page has its own words, or none. */
function hintOf({ code, hint }: ApiError): string {
  const own = maybe(`hint.${code}`) ?? (/`conclave|--\w/.test(hint) ? "" : sentence(hint));
  const tries = /^(\d+) tries are left/.exec(hint)?.[1];
  return tries ? `${t("hint.tries", { n: Number(tries) })} ${own}` : own;
}

/** Words of programs begin small and end without a full stop. */
export function sentence(text: string): string {
  if (text === "") return "";
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
