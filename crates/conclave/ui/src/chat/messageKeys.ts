// Keys among messages: arrows go from one to the next, letters do what the menu does.
import type { MessageRow } from "../api/rows";
import { keyOf } from "../state/shortcut";
import { answer, change, copy, isEditable, openMessageMenu } from "./messageMenu";
import { deleting, selected, toggleSelected } from "./view";
import type { VirtualList } from "./VirtualList";

/** Heeds a key that was pressed in the conversation. */
export function moveAmong(event: KeyboardEvent, messages: MessageRow[], list: VirtualList | null): void {
  if (event.altKey || event.metaKey || event.ctrlKey) return;
  const target = event.target as HTMLElement;
  const isLines = target.classList.contains("lines");
  const article = target.closest<HTMLElement>("[data-message]");
  if (!isLines && target !== article) return;
  const id = article?.dataset["message"];
  const at = messages.findIndex((row) => row.id === id);
  const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
  if (step !== 0) {
    const next = at < 0 ? nearest(messages) : messages[at + step];
    if (next) focusMessage(next.id, list);
    event.preventDefault();
    return;
  }
  const row = messages[at];
  if (row && article && act(event, row, article)) event.preventDefault();
}

function act(event: KeyboardEvent, row: MessageRow, article: HTMLElement): boolean {
  switch (keyOf(event)) {
    case "Enter":
    case "ContextMenu":
      openMessageMenu(row, { currentTarget: article, clientX: 0, clientY: 0 } as unknown as MouseEvent);
      return true;
    case " ":
      toggleSelected(row.id);
      return true;
    case "Delete":
      deleting.value = [row];
      return true;
    case "Escape":
      selected.value = null;
      return true;
    case "r":
      answer(row);
      return true;
    case "e":
      if (isEditable(row)) change(row);
      return true;
    case "c":
      copy([row]);
      return true;
    default:
      return false;
  }
}

/** The newest message that is drawn. */
function nearest(messages: MessageRow[]): MessageRow | undefined {
  const drawn = [...document.querySelectorAll<HTMLElement>("[data-message]")];
  const visible = drawn.filter((one) => one.getBoundingClientRect().top < innerHeight);
  const id = visible.at(-1)?.dataset["message"];
  return messages.find((row) => row.id === id);
}

/** Gives a message the focus; it is drawn first when it is not on the screen. */
export function focusMessage(id: string, list: VirtualList | null): void {
  const find = () => document.querySelector<HTMLElement>(`[data-message="${CSS.escape(id)}"]`);
  if (!find()) list?.showLine(id);
  requestAnimationFrame(() => {
    const there = find();
    there?.focus({ preventScroll: true });
    there?.scrollIntoView({ block: "nearest" });
  });
}
