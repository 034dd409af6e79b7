// A list of rows that arrows go through: one stop for Tab, wherever one was last.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

/** Moves the focus with the arrows among the buttons and links marked `data-row` inside. */
export function ArrowList({ label, class: extra, children }: { label: string; class?: string; children: ComponentChildren }) {
  const ref = useRef<HTMLUListElement>(null);
  return (
    <ul ref={ref} class={`list ${extra ?? ""}`} aria-label={label} role="list" onKeyDown={(event) => move(event, ref.current)}>
      {children}
    </ul>
  );
}

function move(event: KeyboardEvent, list: HTMLElement | null): void {
  const rows = [...(list?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const now = rows.findIndex((row) => row === document.activeElement);
  if (now < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  const to: Record<string, number> = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: rows.length - 1 };
  const next = to[event.key];
  if (next === undefined) return;
  event.preventDefault();
  rows[Math.max(0, Math.min(next, rows.length - 1))]?.focus();
}
