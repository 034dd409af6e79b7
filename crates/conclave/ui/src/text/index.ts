// The page's words: a catalogue for each language, plurals by rule, names set apart from the sentence around them.
import { computed, signal } from "@preact/signals";
import { prefs } from "../state/prefs";
import en from "./en.json";

/** The name of a text in the catalogues. */
export type TextKey = keyof typeof en;
/** What is put into a text: `{name}` takes `name`. */
export type Vars = Record<string, string | number>;
type Plural = Partial<Record<Intl.LDMLPluralRule, string>>;
type Catalogue = Partial<Record<TextKey, string | Plural>>;

/** The languages that there is a catalogue for. */
export const LANGUAGES = ["en", "ar"] as const;
export type Language = (typeof LANGUAGES)[number];

/** The reader's own form of the language, `en-GB`: days, hours and numbers are written as it has them. */
export const locale = computed(() => globalThis.navigator?.languages?.find((tag) => tag.slice(0, 2) === language.value) ?? language.value);

/** Twelve or twenty-four hours, as the browser's first language has it, whatever language the page is in. */
export function hourCycle(): Intl.LocaleHourCycleKey | undefined {
  return new Intl.DateTimeFormat(globalThis.navigator?.language, { hour: "numeric" }).resolvedOptions().hourCycle;
}

const loaders: Partial<Record<Language, () => Promise<{ default: unknown }>>> = {
  ar: () => import("./ar.json"),
};

const catalogue = signal<Catalogue>(en);

/** The language that is shown. */
export const language = signal<Language>("en");
/** The direction in which it is written. */
export const direction = computed(() => (language.value === "ar" ? "rtl" : "ltr"));

/** Loads the chosen language, or the browser's, and marks the page with it. */
export async function loadLanguage(): Promise<void> {
  const wanted = prefs.value.language ?? guess();
  const loaded = await loaders[wanted]?.();
  catalogue.value = (loaded?.default as Catalogue | undefined) ?? en;
  language.value = wanted;
  document.documentElement.lang = wanted;
  document.documentElement.dir = direction.value;
}

/** The text of `key`. A plural goes by `n`. What is put in is isolated: it cannot turn the words around it. */
export function t(key: TextKey, vars: Vars = {}): string {
  const entry = (catalogue.value[key] ?? en[key]) as string | Plural;
  const text = typeof entry === "string" ? entry : plural(entry, Number(vars["n"] ?? 0));
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = vars[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : isolate(value);
  });
}

/** A text of a key that is made at run time; `undefined` when the catalogue does not have it. */
export function maybe(key: string, vars: Vars = {}): string | undefined {
  return key in en ? t(key as TextKey, vars) : undefined;
}

/** A number as the language writes it. */
export function number(value: number): string {
  return new Intl.NumberFormat(locale.value).format(value);
}

function plural(entry: Plural, n: number): string {
  const rule = new Intl.PluralRules(language.value).select(n);
  return entry[rule] ?? entry.other ?? "";
}

// Letters that are written from the right.
const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

function isolate(value: string): string {
  const isMixed = direction.value === "rtl" || FROM_RIGHT.test(value);
  return isMixed ? `\u2068${value}\u2069` : value;
}

function guess(): Language {
  const wanted = (navigator.languages ?? []).map((tag) => tag.slice(0, 2));
  return LANGUAGES.find((known) => wanted[0] === known) ?? "en";
}
