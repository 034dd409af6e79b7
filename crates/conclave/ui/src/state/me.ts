// Whose profile this is.
import { signal } from "@preact/signals";
import type { ProfileRow, WhoamiRow } from "../api/rows";
import { rpc } from "../api/rpc";

/** The account of this profile; `null` until it is known. */
export const me = signal<WhoamiRow | null>(null);
/** Its own name and picture. */
export const profile = signal<ProfileRow | null>(null);

/** Loads both. */
export async function loadMe(): Promise<void> {
  me.value = await rpc<WhoamiRow>("whoami");
  profile.value = await rpc<ProfileRow>("profile.show");
}
