// The page's session: from the one-time ticket in the address to the token that each request carries.
import { signal } from "@preact/signals";

/** What the page may show: everything hangs on the session. */
export type Gate = "starting" | "ended" | "paused" | "unreachable" | "locked" | "setup" | "open";

/** Where the session is now. */
export const gate = signal<Gate>("starting");

const KEY = "conclave.token";

/** The chat that the address named beside its ticket; empty: none. */
export let wantedChat = "";

let token = "";

/** The token of this tab; empty without a session. */
export function sessionToken(): string {
  return token;
}

/** The headers that each request of the page carries. */
export function sessionHeaders(): Record<string, string> {
  return { "X-Conclave-Token": token };
}

/** Takes the ticket out of the address, or the token of before a reload. True when there is a session. */
export async function beginSession(): Promise<boolean> {
  const ticket = takeTicket();
  if (ticket !== "") {
    return await exchange("/auth", { ticket });
  }
  token = sessionStorage.getItem(KEY) ?? "";
  return token !== "";
}

/** Opens a locked profile. False when the passphrase was wrong or the page must wait; `gate` says which. */
export async function unlock(passphrase: string): Promise<boolean> {
  return await exchange("/unlock", { passphrase });
}

/** Forgets the token: the server ended the session. */
export function endSession(): void {
  token = "";
  sessionStorage.removeItem(KEY);
  gate.value = "ended";
}

/** Turns the status of any answer into the gate that it means; true when the answer may be read on. */
export function heedStatus(status: number): boolean {
  if (status === 401) endSession();
  else if (status === 423) gate.value = "locked";
  else if (status === 429) gate.value = "paused";
  else return true;
  return false;
}

function takeTicket(): string {
  const match = /^#t=([\w-]+)(?:&c=(c_[0-9a-f]{32}))?$/.exec(location.hash);
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  wantedChat = match?.[2] ?? "";
  return match?.[1] ?? "";
}

async function exchange(path: string, body: Record<string, string>): Promise<boolean> {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status === 423) gate.value = "locked";
  if (answer.status === 429) gate.value = "paused";
  if (!answer.ok) return false;
  const given = (await answer.json()) as { token: string };
  token = given.token;
  sessionStorage.setItem(KEY, token);
  return true;
}
