// Closes the profile until its passphrase is given again; what was on the page goes.
import { rpc } from "../api/rpc";
import { gate } from "../api/session";
import { chats, openChat, requests } from "./chats";
import { contacts } from "./contacts";
import { closeDialogs } from "./dialogs";
import { notices } from "./notices";
import { forgetThreads } from "./threads";

/** Locks. Throws when the profile has no passphrase. */
export async function lockNow(): Promise<void> {
  await rpc("account.lock");
  closeDialogs();
  forgetThreads();
  openChat.value = null;
  chats.value = [];
  requests.value = [];
  contacts.value = [];
  notices.value = [];
  gate.value = "locked";
}
