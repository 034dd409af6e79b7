// Who is in the groups that were opened: for those who name one of them.
import { signal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { GroupRow, PersonRow } from "../api/rows";

/** The other members by the group's chat. */
export const members = signal<Record<string, PersonRow[]>>({});

/** Loads the members of a group anew. */
export async function loadMembers(chat: string): Promise<void> {
  const group = await rpc<GroupRow>("groups.show", { group: chat });
  const others = group.members.filter((one) => !one.own).map((one) => one.person);
  members.value = { ...members.value, [chat]: others };
}
