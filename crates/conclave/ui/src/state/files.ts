// Where the files of messages are, and how far they are on their way.
import { signal } from "@preact/signals";
import { type BlobLink, linkTo } from "../api/files";
import { rpc } from "../api/rpc";
import type { AttachmentRow } from "../api/rows";

/** Files by `m_…/1`. */
export const files = signal<Record<string, AttachmentRow>>({});

/** Loads where the files of a chat are. */
export async function loadFiles(chat: string): Promise<void> {
  const { attachments } = await rpc<{ attachments: AttachmentRow[] }>("attachments.list", { chat });
  files.value = { ...files.value, ...Object.fromEntries(attachments.map((file) => [file.id, file])) };
}

/** A file moved on. */
export function heedFile(row: Partial<AttachmentRow>): void {
  if (!row.id) return;
  const there = files.value[row.id];
  files.value = { ...files.value, [row.id]: { ...(there ?? {}), ...row } as AttachmentRow };
}

const links = new Map<string, Promise<BlobLink>>();

/** Where the page gets a file; it is fetched when it is not here yet. */
export function blobOf(message: string, number: number): Promise<BlobLink> {
  const id = `${message}/${number}`;
  let link = links.get(id);
  if (!link) {
    link = linkTo(message, number).then((made) => {
      heedFile({ id, state: "loaded" });
      return made;
    });
    link.catch(() => links.delete(id));
    links.set(id, link);
  }
  return link;
}

/** Forgets links of a session that is over. */
export function forgetLinks(): void {
  links.clear();
}

/** Ends the way of a file. */
export async function cancelFile(id: string): Promise<void> {
  await rpc("attachments.cancel", { id });
  heedFile({ id, state: "remote", bytes_done: 0 });
}
