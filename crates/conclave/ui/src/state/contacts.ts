// The people of this account, shared by all screens that name them.
import { signal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { ContactRow } from "../api/rows";

/** Everybody with whom this account talks, as they were loaded last. */
export const contacts = signal<ContactRow[]>([]);

/** Loads them anew. */
export async function loadContacts(): Promise<void> {
  contacts.value = (await rpc<{ contacts: ContactRow[] }>("contacts.list")).contacts;
}

/** The contact of an account, when there is one. */
export function contactOf(account: string): ContactRow | undefined {
  return contacts.value.find((one) => one.account === account);
}
