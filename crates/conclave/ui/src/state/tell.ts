// Tells of what comes while nobody looks, and of changes that somebody should know of.
import { effect } from "@preact/signals";
import type { EventRow, LiveRow, MessageRow } from "../api/rows";
import { chatName, personName, summary } from "../chat/names";
import { t } from "../text/index";
import { chats, isMuted, requests, showChat, unreadTotal } from "./chats";
import { openDialog } from "./dialogs";
import { watch } from "./live";
import { notify, sentence } from "./notices";
import { prefs } from "./prefs";

/** Begins to tell: title, notifications, notices. */
export function beginTelling(): void {
  effect(() => {
    const waiting = unreadTotal.value + requests.value.length;
    document.title = waiting > 0 ? `(${waiting}) ${t("app.name")}` : t("app.name");
  });
  watch((event) => {
    tellChange(event);
    tellAway(event);
  });
}

/** What changed about keys and devices: one plain sentence with a next step. */
function tellChange(event: EventRow | LiveRow): void {
  if (event.type === "identity_changed" && "with" in event && event.with) {
    const who = event.with;
    notify({
      kind: "error",
      text: t("changed.key", { who: personName(who) }),
      next: { label: t("changed.compare"), run: () => openDialog("safety", { who: who.account }) },
    });
  } else if (event.type === "key_rotated" && "with" in event && event.with) {
    const who = event.with;
    notify({
      kind: "warning",
      text: t("changed.rotated", { who: personName(who) }),
      next: { label: t("changed.compare"), run: () => openDialog("safety", { who: who.account }) },
    });
  } else if (event.type === "gap") {
    notify({ kind: "warning", text: t("changed.gap") });
  } else if (event.type === "warning" && "message" in event && typeof event.message === "string") {
    notify({ kind: "warning", text: sentence(event.message) });
  } else if (event.type === "history" && "direction" in event && event.direction === "in" && event.done) {
    notify({ kind: "done", text: t("changed.history", { n: event.messages }) });
  }
}

/** A notification of the system, while the page is not looked at. */
function tellAway(event: EventRow | LiveRow): void {
  if (!prefs.value.notify || document.hasFocus()) return;
  if (!("Notification" in globalThis) || Notification.permission !== "granted") return;
  if (event.type === "message" && "text" in event && !event.own) tellMessage(event);
  else if (event.type === "request" && "from" in event) {
    const who = personName(event.from);
    const isShown = prefs.value.notify_preview;
    const words = isShown ? t("notify.request", { who }) : t("notify.request_hidden");
    show(t("app.name"), words, "requests", () => openDialog("requests", {}));
  }
}

function tellMessage(row: MessageRow): void {
  const chat = chats.value.find((one) => one.id === row.chat);
  if (chat && isMuted(chat)) return;
  if (!prefs.value.notify_preview) {
    show(t("app.name"), t("notify.message"), "message", () => showChat(row.chat));
    return;
  }
  const who = personName(row.from);
  const title = chat && chat.kind === "group" ? `${who} · ${chatName(chat)}` : who;
  show(title, summary(row), row.chat, () => showChat(row.chat));
}

function show(title: string, body: string, tag: string, go: () => void): void {
  const shown = new Notification(title, { body, tag });
  shown.onclick = () => {
    focus();
    go();
    shown.close();
  };
}
