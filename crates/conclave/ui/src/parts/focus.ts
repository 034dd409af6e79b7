// Where the focus goes when something comes over the page, and when it is gone.
import { type RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

/** Marks what takes the focus when its screen opens. The browser's own `autofocus` is heeded once in a page's life. */
export const FIRST = "data-first";

/** Gives the focus to the part with `ref` as soon as it is drawn, when `isFirst`; a dialog that opens does it again. */
export function useFirst(ref: RefObject<HTMLElement | null>, isFirst: boolean): Record<string, boolean> {
  useLayoutEffect(() => {
    if (isFirst) ref.current?.focus();
  }, []);
  return isFirst ? { [FIRST]: true } : {};
}

/** Gives the focus back to `before`, unless it has gone somewhere else than `left` on purpose. */
export function giveBack(before: Element | null, left: Element | null): void {
  const now = document.activeElement;
  const isLost = now === null || now === document.body || (left?.contains(now) ?? false);
  if (isLost && before instanceof HTMLElement && before.isConnected) before.focus();
}

/** When the part with `ref` goes and takes the focus with it: back to where it was, or into what stands around it. */
export function useGiveBack(ref: RefObject<HTMLElement | null>): void {
  useLayoutEffect(() => {
    const before = document.activeElement;
    const around = ref.current?.parentElement;
    // What takes its place is drawn by then.
    return () => void requestAnimationFrame(() => {
      giveBack(before, null);
      giveBack(around?.querySelector("button:enabled, input") ?? null, null);
    });
  }, []);
}
