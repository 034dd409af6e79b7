// How this browser shows the page: theme, language, size of text.
import { effect, signal } from "@preact/signals";
import type { Language } from "../text/index";

/** What a person chose; what is missing follows the system. */
export interface Prefs {
  theme?: "light" | "dark";
  language?: Language;
  /** 1 is the browser's own size of text. */
  text_scale?: number;
  /** Whether notifications show who wrote what. */
  notify_preview?: boolean;
  /** Whether notifications are wanted at all. */
  notify?: boolean;
}

const KEY = "conclave.prefs";

/** The preferences now. Change them by `setPrefs`. */
export const prefs = signal<Prefs>(load());

/** Changes some of them and keeps them for this browser. */
export function setPrefs(changed: Partial<Prefs>): void {
  prefs.value = { ...prefs.value, ...changed };
  localStorage.setItem(KEY, JSON.stringify(prefs.value));
}

/** Marks the page with theme and text size, now and whenever they change. */
export function applyPrefs(): void {
  effect(() => {
    const root = document.documentElement;
    const { theme, text_scale } = prefs.value;
    if (theme) root.dataset["theme"] = theme;
    else delete root.dataset["theme"];
    root.style.setProperty("--text-scale", String(text_scale ?? 1));
  });
}

function load(): Prefs {
  if (typeof localStorage === "undefined") return {};
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Prefs;
  } catch {
    return {};
  }
}
