// Ties a field to a signal.
import type { Signal } from "@preact/signals";

/** What a field shows, and where what is typed goes. */
export function bind(words: Signal<string>): { value: string; onText: (text: string) => void } {
  return {
    value: words.value,
    onText: (text) => {
      words.value = text;
    },
  };
}
