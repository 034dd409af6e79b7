// What happens when the page opens: session, account, language, then everything it shows.
import { ApiError, rpc } from "../api/rpc";
import type { AccountStateRow } from "../api/rows";
import { beginSession, gate, wantedChat } from "../api/session";
import { loadLanguage } from "../text/index";
import { loadChats, showChat } from "./chats";
import { loadStatus } from "./connection";
import { loadContacts } from "./contacts";
import { forgetBehindGate } from "./forget";
import { goLive } from "./live";
import { loadMe } from "./me";
import { applyPrefs } from "./prefs";
import { watchSeeing } from "./reading";
import { loadNotes } from "./threads";

let isStarted = false;

/** Opens the page: again after a lock, a pause or a lost program. */
export async function start(): Promise<void> {
  if (!isStarted) {
    isStarted = true;
    applyPrefs();
    watchSeeing();
    forgetBehindGate();
    await loadLanguage();
    if (!(await begin())) return;
  }
  await enter();
}

/** Goes in where a session is: to the setup when there is no account yet. */
export async function enter(): Promise<void> {
  try {
    const state = await accountState();
    if (state !== "open") {
      gate.value = "setup";
      return;
    }
    await Promise.all([loadMe(), loadStatus(), loadChats(), loadContacts()]);
    gate.value = "open";
    if (wantedChat !== "") showChat(wantedChat);
    goLive();
    loadNotes().catch(() => undefined);
  } catch {
    if (gate.value === "starting") gate.value = "unreachable";
    if (gate.value === "unreachable") setTimeout(() => void enter(), 2_000);
  }
}

async function begin(): Promise<boolean> {
  try {
    if (await beginSession()) return true;
    if (gate.value === "starting") gate.value = "ended";
  } catch {
    gate.value = "unreachable";
    isStarted = false;
  }
  return false;
}

/** Programs without the method have an account, or they would not answer. */
async function accountState(): Promise<AccountStateRow["state"]> {
  try {
    return (await rpc<AccountStateRow>("account.state")).state;
  } catch (error) {
    if (error instanceof ApiError && error.code === "RPC") return "open";
    throw error;
  }
}
