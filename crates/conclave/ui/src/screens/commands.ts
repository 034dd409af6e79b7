// What can be gone to or done from the palette: chats, people, screens.
import { chatName, personName } from "../chat/names";
import { chats, listed, openRow, showChat } from "../state/chats";
import { contacts } from "../state/contacts";
import { closeDialog, openDialog } from "../state/dialogs";
import { lockNow } from "../state/lock";
import { report } from "../state/notices";
import { t } from "../text/index";
import type { IconName } from "../parts/Icon";

/** One line of the palette. */
export interface Command {
  id: string;
  name: string;
  /** More words by which it is found, and that are shown. */
  more: string;
  icon: IconName;
  run: () => void;
}

function screens(): Command[] {
  const open = openRow.value;
  const line = (id: string, name: string, icon: IconName, run: () => void): Command => ({
    id,
    name,
    more: "",
    icon,
    run,
  });
  const all = [
    line("new", t("shortcuts.new_chat"), "plus", () => openDialog("newChat", {})),
    line("group", t("newgroup.title"), "group", () => openDialog("newGroup", {})),
    line("join", t("join.title"), "link", () => openDialog("join", {})),
    line("search", t("search.all"), "search", () => openDialog("search", {})),
    line("requests", t("requests.title"), "inbox", () => openDialog("requests", {})),
    line("contacts", t("contacts.title"), "person", () => openDialog("contacts", {})),
    line("address", t("address.title"), "qr", () => openDialog("address", {})),
    line("devices", t("devices.title"), "device", () => openDialog("devices", {})),
    line("settings", t("settings.title"), "settings", () => openDialog("settings", {})),
    line("lock", t("settings.lock_now"), "lock", () => void lockNow().catch(report)),
    line("keys", t("shortcuts.title"), "info", () => openDialog("shortcuts", {})),
  ];
  if (!open) return all;
  const chat = open.id;
  return [
    line("in", t("search.in_chat", { name: chatName(open) }), "search", () =>
      openDialog("search", { chat }),
    ),
    line("timer", t("timer.title"), "timer", () => openDialog("timer", { chat })),
    ...all,
  ];
}

function places(): Command[] {
  const { active, archived } = listed.value;
  return [...active, ...archived].map((chat) => ({
    id: chat.id,
    name: chatName(chat),
    more: chat.with?.identifier ?? "",
    icon: chat.kind === "group" ? "group" : "person",
    run: () => showChat(chat.id),
  }));
}

/** Contacts with whom there is no chat yet. */
function people(): Command[] {
  const known = new Set(chats.value.map((chat) => chat.with?.account));
  return contacts.value
    .filter((one) => !one.blocked && !known.has(one.account))
    .map((one) => ({
      id: one.account,
      name: personName(one),
      more: one.identifier,
      icon: "person",
      run: () => openDialog("newChat", { who: one.identifier }),
    }));
}

/** Those that fit `words`: names that begin with them first. */
export function fitting(all: readonly Command[], words: string, max: number): Command[] {
  const wanted = words.trim().toLocaleLowerCase();
  const rank = ({ name, more }: Command) => {
    const lower = name.toLocaleLowerCase();
    if (lower.startsWith(wanted)) return 0;
    if (lower.includes(` ${wanted}`)) return 1;
    return lower.includes(wanted) || more.toLocaleLowerCase().includes(wanted) ? 2 : 3;
  };
  return all
    .map((one) => ({ one, at: rank(one) }))
    .filter(({ at }) => at < 3)
    .sort((a, b) => a.at - b.at)
    .slice(0, max)
    .map(({ one }) => one);
}

/** Everything that there is now. */
export function commands(): Command[] {
  return [...places(), ...screens(), ...people()];
}

/** Closes the palette, then does it. */
export function runCommand(command: Command): void {
  closeDialog("palette");
  command.run();
}
