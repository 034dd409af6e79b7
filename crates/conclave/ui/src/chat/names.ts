// How people and chats are called on the page.
import type { ChatRow, MessageRow, PersonRow } from "../api/rows";
import { contactOf } from "../state/contacts";
import { safeFileName, safeName } from "../text/safe";
import { size, span } from "../text/time";
import { maybe, t } from "../text/index";
import { plain } from "./markup";
import type { NoteRow } from "./layout";

/** A person's name, made harmless: the name they have here, else their identifier. */
export function personName(person: PersonRow | null | undefined): string {
  if (!person) return t("person.unknown");
  const contact = contactOf(person.account);
  const name = contact?.name || person.name || contact?.identifier || person.identifier;
  return safeName(name) || t("person.unknown");
}

/** The name of a chat, made harmless. */
export function chatName(chat: ChatRow): string {
  if (chat.kind === "own") return t("chat.own");
  if (chat.with) return personName(chat.with);
  return safeName(chat.name) || t("chat.group");
}

/** A message in one line: its words, or what it holds. */
export function summary(row: MessageRow): string {
  if (row.deleted_by) return t("message.deleted");
  const text = safeName(plain(row.text.slice(0, 400)), 160);
  if (text !== "") return text;
  if (row.contact) return t("message.card", { name: safeName(row.contact.name || row.contact.identifier) });
  const file = row.attachments[0];
  if (!file) return "";
  if (row.attachments.length > 1) return t("message.files", { n: row.attachments.length });
  return fileWord(file.media_type, file.name);
}

/** `Photo`, `Video`, `Recording`, or the name of the file. */
export function fileWord(mediaType: string, name: string): string {
  return maybe(`message.kind.${mediaType.split("/")[0] ?? ""}`) ?? safeFileName(name);
}

/** Where an own message is, in words. */
export function stateWord(row: MessageRow): string {
  return maybe(`state.${row.state}`) ?? row.state;
}

/** A file's name and size. */
export function fileLine(name: string, length: number): string {
  return `${safeFileName(name)} · ${size(length)}`;
}

/** What happened in a chat, as a sentence. */
export function noteWords(note: NoteRow): string {
  if (note.type === "timer") {
    const by = note.by ? personName(note.by) : t("person.unknown");
    return note.seconds === 0 ? t("note.timer_off", { by }) : t("note.timer", { by, time: span(note.seconds) });
  }
  if (note.type === "gap") return t("note.gap");
  if (note.type === "identity_changed") return t("note.identity_changed", { who: personName(note.with) });
  if (note.type === "key_rotated") return t("note.key_rotated", { who: personName(note.with) });
  const by = note.own ? t("person.you") : personName(note.by);
  const about = note.about_own ? t("person.you_inside") : personName(note.about);
  const value = note.change === "role" ? (maybe(`role.${note.value}`) ?? note.value) : safeName(note.value);
  const change = note.change === "added" && note.value === "link" ? "by_link" : note.change;
  return maybe(`note.${change}`, { by, about, value }) ?? t("note.unknown");
}
