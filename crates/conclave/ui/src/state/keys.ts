// Keys that work everywhere on the page.
import { gate } from "../api/session";
import { listed, openChat, showChat } from "./chats";
import { dialogs, openDialog } from "./dialogs";
import { lockNow } from "./lock";
import { report } from "./notices";
import { type Shortcut, shortcutOf } from "./shortcut";

/** Begins to listen. */
export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (gate.value !== "open" || event.isComposing) return;
    const shortcut = shortcutOf(event);
    if (shortcut) {
      event.preventDefault();
      act(shortcut);
    } else if (event.key === "Escape" && !event.defaultPrevented && isBare()) {
      leaveChat();
    }
  });
}

function act(shortcut: Shortcut): void {
  const chat = openChat.value;
  switch (shortcut) {
    case "palette":
      return openDialog("palette", {});
    case "search_chat":
      return openDialog("search", chat ? { chat } : {});
    case "search_all":
      return openDialog("search", {});
    case "new_chat":
      return openDialog("newChat", {});
    case "settings":
      return openDialog("settings", {});
    case "shortcuts":
      return openDialog("shortcuts", {});
    case "lock":
      lockNow().catch(report);
      return;
    case "chat_up":
      return step(-1);
    case "chat_down":
      return step(1);
  }
}

/** Opens the chat above or below the open one, as the list shows them. */
function step(by: 1 | -1): void {
  const all = listed.value.active;
  if (dialogs.value.length > 0 || all.length === 0) return;
  const now = all.findIndex((chat) => chat.id === openChat.value);
  const at = now < 0 ? (by > 0 ? 0 : all.length - 1) : now + by;
  const next = all[Math.max(0, Math.min(at, all.length - 1))];
  if (next) showChat(next.id);
}

/** Whether nothing lies over the chat that Esc closes first. */
function isBare(): boolean {
  const over = "dialog[open], [role=menu], [role=toolbar], .emoji-picker";
  return openChat.value !== null && dialogs.value.length === 0 && !document.querySelector(over);
}

function leaveChat(): void {
  const line = document.querySelector<HTMLElement>(".chat-line[aria-current]");
  showChat(null);
  // On narrow screens the list is there from the next picture on.
  requestAnimationFrame(() => line?.focus());
}
