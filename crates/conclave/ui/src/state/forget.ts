// Forgets everything that was shown when the session is over or the profile is locked.
import { batch, effect, untracked } from "@preact/signals";
import { gate } from "../api/session";
import { chats, openChat, requests } from "./chats";
import { contacts } from "./contacts";
import { closeDialogs } from "./dialogs";
import { files, forgetLinks } from "./files";
import { members } from "./members";
import { forgetAllThreads } from "./threads";

/** Watches the gate from now on: behind a closed one nothing of the chats stays in the page. */
export function forgetBehindGate(): void {
  effect(() => {
    if (gate.value === "locked" || gate.value === "ended") untracked(() => batch(forgetAll));
  });
}

function forgetAll(): void {
  closeDialogs();
  openChat.value = null;
  chats.value = [];
  requests.value = [];
  contacts.value = [];
  files.value = {};
  members.value = {};
  forgetLinks();
  forgetAllThreads();
}
