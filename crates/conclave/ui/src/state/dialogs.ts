// Which screens lie over the chat, topmost last.
import { signal } from "@preact/signals";

/** The screens that open over the chat, and what each is given. */
export interface DialogProps {
  settings: { tab?: string };
  devices: object;
  group: { chat: string };
  newChat: { who?: string };
  address: object;
  newGroup: object;
  requests: object;
  safety: { who: string };
  info: { message: string };
  search: { chat?: string; words?: string };
  palette: object;
  shortcuts: object;
  timer: { chat: string };
  forward: { messages: string[] };
  join: { link?: string };
  contacts: object;
  clear: { chat: string };
}

/** The name of a screen. */
export type DialogName = keyof DialogProps;

/** A screen that is open. */
export interface OpenDialog {
  name: DialogName;
  props: DialogProps[DialogName];
}

/** The open screens. */
export const dialogs = signal<OpenDialog[]>([]);

/** Opens a screen over what is there; one that is open already comes to the top with its new properties. */
export function openDialog<N extends DialogName>(name: N, props: DialogProps[N]): void {
  dialogs.value = [...dialogs.value.filter((one) => one.name !== name), { name, props }];
}

/** Closes the topmost screen, or the one with that name. */
export function closeDialog(name?: DialogName): void {
  const top = name ?? dialogs.value.at(-1)?.name;
  dialogs.value = dialogs.value.filter((one) => one.name !== top);
}

/** Closes all of them. */
export function closeDialogs(): void {
  dialogs.value = [];
}
