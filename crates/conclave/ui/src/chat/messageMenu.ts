// What can be done with a message.
import { signal } from "@preact/signals";
import type { MessageRow } from "../api/rows";
import type { MenuItem, Place } from "../parts/Menu";
import { openDialog } from "../state/dialogs";
import { notify } from "../state/notices";
import { pin } from "../state/sending";
import { t } from "../text/index";
import { deleting, editing, replying, selected } from "./view";

/** The menu that is open. */
export const messageMenu = signal<{ row: MessageRow; at: Place } | null>(null);

/** Opens it where the pointer is, or at the button that was pressed. */
export function openMessageMenu(row: MessageRow, event: MouseEvent): void {
  const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const isPointer = event.clientX !== 0 || event.clientY !== 0;
  const at = isPointer ? { x: event.clientX, y: event.clientY } : { x: box.left + 16, y: box.top + 16 };
  messageMenu.value = { row, at };
}

const EDIT_MS = 24 * 3_600_000;

/** Whether its words may still be changed. */
export function isEditable(row: MessageRow): boolean {
  return row.own && !row.deleted_by && row.text !== "" && Date.now() - row.ts_ms < EDIT_MS && row.state !== "failed";
}

/** The lines of the menu. */
export function messageItems(row: MessageRow): MenuItem[] {
  const items: (MenuItem | false)[] = [
    !row.deleted_by && { label: t("message.reply"), icon: "reply", run: () => answer(row) },
    isEditable(row) && { label: t("message.edit"), icon: "edit", run: () => change(row) },
    row.text !== "" && { label: t("message.copy"), icon: "copy", run: () => copy([row]) },
    !row.deleted_by && { label: t("message.forward"), icon: "forward", run: () => openDialog("forward", { messages: [row.id] }) },
    !row.deleted_by && {
      label: t(row.pinned ? "message.unpin" : "message.pin"),
      icon: "pin",
      run: () => void pin(row, !row.pinned),
    },
    { label: t("message.select"), icon: "select", run: () => (selected.value = new Set([row.id])) },
    { label: t("message.info"), icon: "info", run: () => openDialog("info", { message: row.id }) },
    { label: t("action.delete"), icon: "trash", danger: true, run: () => (deleting.value = [row]) },
  ];
  return items.filter((item) => item !== false);
}

/** Begins an answer. */
export function answer(row: MessageRow): void {
  editing.value = null;
  replying.value = row;
}

/** Begins to change its words. */
export function change(row: MessageRow): void {
  replying.value = null;
  editing.value = row;
}

/** Copies the words of messages. */
export function copy(rows: MessageRow[]): void {
  const text = rows.map((row) => row.text).filter(Boolean).join("\n");
  navigator.clipboard.writeText(text).then(
    () => notify({ kind: "done", text: t("message.copied", { n: rows.length }) }),
    () => notify({ kind: "error", text: t("message.copy_failed") }),
  );
}
