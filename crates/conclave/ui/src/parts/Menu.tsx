// A menu at a place of the page: arrows go through it, Esc closes it.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { giveBack } from "./focus";
import { Icon, type IconName } from "./Icon";

/** One line of a menu. */
export interface MenuItem {
  label: string;
  icon?: IconName;
  danger?: boolean;
  run: () => void;
}

/** Where a menu opens, in pixels of the window. */
export interface Place {
  x: number;
  y: number;
}

/** A menu; `onClose` is called after a choice, too. */
export function Menu(props: { items: MenuItem[]; at: Place; label: string; head?: ComponentChildren; onClose: () => void }) {
  const { items, at, label, head, onClose } = props;
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => place(ref.current, at), [at.x, at.y]);
  // Before the next picture: a key pressed at once goes into the menu, and not to what lies under it.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const menu = ref.current;
    menu?.querySelector("button")?.focus();
    const away = (event: Event) => {
      if (!ref.current?.contains(event.target as Node)) onClose();
    };
    addEventListener("pointerdown", away, true);
    addEventListener("blur", onClose);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("blur", onClose);
      giveBack(before, menu);
    };
  }, []);
  return (
    <div ref={ref} class="menu" role="menu" aria-label={label} onKeyDown={(event) => go(event, onClose)}>
      {head}
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          class={item.danger ? "menu-item danger" : "menu-item"}
          onClick={() => {
            onClose();
            item.run();
          }}
        >
          {item.icon && <Icon name={item.icon} />}
          {item.label}
        </button>
      ))}
    </div>
  );
}

function place(menu: HTMLElement | null, at: Place): void {
  if (!menu) return;
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.x, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(at.y, innerHeight - height - 8))}px`;
}

function go(event: KeyboardEvent, close: () => void): void {
  const menu = event.currentTarget as HTMLElement;
  const items = [...menu.querySelectorAll("button")];
  const now = items.indexOf(document.activeElement as HTMLButtonElement);
  const to: Record<string, number> = {
    ArrowDown: (now + 1) % items.length,
    ArrowUp: (now - 1 + items.length) % items.length,
    Home: 0,
    End: items.length - 1,
  };
  const next = to[event.key];
  if (next !== undefined) items[next]?.focus();
  else if (event.key === "Escape" || event.key === "Tab") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
