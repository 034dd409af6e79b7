// The screens that open over the chat, by name.
import type { ComponentChild, ComponentType } from "preact";
import { Clear } from "../chat/Clear";
import { Forward } from "../chat/Forward";
import { closeDialog, type DialogName, type DialogProps } from "../state/dialogs";
import { Address } from "./Address";
import { Contacts } from "./Contacts";
import { Devices } from "./Devices";
import { Group } from "./Group";
import { Info } from "./Info";
import { NewChat } from "./NewChat";
import { JoinGroup, NewGroup } from "./NewGroup";
import { Palette } from "./Palette";
import { Requests } from "./Requests";
import { Safety } from "./Safety";
import { Search } from "./Search";
import { Settings } from "./Settings";
import { Shortcuts } from "./Shortcuts";
import { Timer } from "./Timer";

/** A screen that closes by `onClose`, under its name. */
function named<N extends DialogName>(
  name: N,
  Screen: (props: DialogProps[N] & { onClose: () => void }) => ComponentChild,
): ComponentType<DialogProps[N]> {
  const onClose = () => closeDialog(name);
  return function Named(props: DialogProps[N]) {
    return Screen({ ...props, onClose });
  };
}

/** Each screen gets the properties that `openDialog` was given. */
export const screens: Partial<Record<DialogName, ComponentType<any>>> = {
  address: named("address", Address),
  clear: Clear,
  contacts: named("contacts", Contacts),
  devices: named("devices", Devices),
  forward: Forward,
  group: named("group", Group),
  info: named("info", Info),
  join: named("join", JoinGroup),
  newChat: named("newChat", NewChat),
  newGroup: named("newGroup", NewGroup),
  palette: named("palette", Palette),
  requests: named("requests", Requests),
  safety: named("safety", Safety),
  search: named("search", Search),
  settings: named("settings", Settings),
  shortcuts: named("shortcuts", Shortcuts),
  timer: named("timer", Timer),
};
