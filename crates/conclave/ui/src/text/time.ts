// Times and sizes as people say them.
import { hourCycle, locale, number, t } from "./index";

const formats = new Map<string, Intl.DateTimeFormat>();

function format(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale.value} ${name}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat(locale.value, options);
    formats.set(key, made);
  }
  return made;
}

/** `14:05`, or `2:05 PM` where that is the habit. */
export function clock(ms: number): string {
  return format("clock", { timeStyle: "short", hourCycle: hourCycle() }).format(ms);
}

/** The whole date and time. */
export function fullTime(ms: number): string {
  return format("full", { dateStyle: "full", timeStyle: "short", hourCycle: hourCycle() }).format(ms);
}

/** A number that is the same for all times of a local day. */
export function dayOf(ms: number): number {
  const date = new Date(ms);
  return date.getFullYear() * 10_000 + date.getMonth() * 100 + date.getDate();
}

/** `Today`, `Yesterday`, a weekday of this week, else the date. */
export function dayName(ms: number, now = Date.now()): string {
  if (dayOf(ms) === dayOf(now)) return t("time.today");
  if (dayOf(ms) === dayOf(now - 86_400_000)) return t("time.yesterday");
  const isThisYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  if (isThisYear) return format("day", { weekday: "long", day: "numeric", month: "long" }).format(ms);
  return format("year", { day: "numeric", month: "long", year: "numeric" }).format(ms);
}

/** The time beside a chat: the clock today, the weekday this week, else the date. */
export function shortTime(ms: number, now = Date.now()): string {
  if (dayOf(ms) === dayOf(now)) return clock(ms);
  if (now - ms < 6 * 86_400_000) return format("weekday", { weekday: "short" }).format(ms);
  return format("date", { day: "2-digit", month: "2-digit", year: "2-digit" }).format(ms);
}

/** `1.2 MB`. */
export function size(bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(locale.value, {
    style: "unit",
    unit: units[unit] ?? "byte",
    unitDisplay: "short",
    maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0,
  }).format(value);
}

/** `5 minutes`: the largest unit that the seconds are whole in. */
export function span(seconds: number): string {
  const units = [
    [604_800, "week"],
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
    [1, "second"],
  ] as const;
  const [unit, name] = units.find(([each]) => seconds >= each && seconds % each === 0) ?? [1, "second"];
  return new Intl.NumberFormat(locale.value, { style: "unit", unit: name, unitDisplay: "long" }).format(
    seconds / unit,
  );
}

/** `50 %`. */
export function percent(done: number, total: number): string {
  return `${number(Math.min(100, Math.floor((done * 100) / Math.max(1, total))))} %`;
}
