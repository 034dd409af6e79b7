// Whether the program answers this page, and whether it reaches its server.
import { computed, signal } from "@preact/signals";
import type { StatusRow } from "../api/rows";
import { rpc } from "../api/rpc";

/** Whether the stream of events from the program is open. */
export const streamOpen = signal(true);
/** Whether the program reaches its server. */
export const online = signal(true);
/** Whether this device is none of the account's any more. */
export const removed = signal(false);
/** How many messages wait to go out. */
export const queued = signal(0);
/** What the program wants people to know. */
export const warnings = signal<string[]>([]);

/** What a banner must say; `null` when all is well. */
export const connection = computed(() => {
  if (!streamOpen.value) return "program" as const;
  if (removed.value) return "removed" as const;
  return online.value ? null : ("server" as const);
});

/** Asks the program how things are. */
export async function loadStatus(): Promise<void> {
  const status = await rpc<StatusRow>("status");
  online.value = status.online;
  removed.value = status.removed;
  queued.value = status.queued;
  warnings.value = status.warnings;
}
