// Which shortcut a key press is: the letter on Latin layouts, the place of the key on all others.

/** The part of a keyboard event that counts. */
export interface Press {
  key: string;
  code: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/** `k`, `/`, `ArrowUp`: what the key stands for, whatever alphabet the keyboard writes. */
export function keyOf(press: Pick<Press, "key" | "code">): string {
  if (/^[a-z]$/i.test(press.key)) return press.key.toLowerCase();
  if (press.key.length !== 1 || /^[\x20-\x7e]$/.test(press.key)) {
    // The slash stands beside Shift on some layouts and above the numbers on others.
    return press.code === "Slash" && press.key.length === 1 ? "/" : press.key;
  }
  const place = /^Key([A-Z])$/.exec(press.code)?.[1];
  if (place) return place.toLowerCase();
  return press.code === "Slash" ? "/" : press.key;
}

/** What a key press asks for; null when it is none of ours. */
export type Shortcut =
  | "palette"
  | "search_chat"
  | "search_all"
  | "new_chat"
  | "chat_up"
  | "chat_down"
  | "shortcuts"
  | "settings"
  | "lock";

const WITH_CTRL: Readonly<Record<string, Shortcut>> = {
  k: "palette",
  f: "search_chat",
  n: "new_chat",
  "/": "shortcuts",
  ",": "settings",
};

/** Reads a key press: Ctrl on most machines, Command on some. */
export function shortcutOf(press: Press): Shortcut | null {
  const key = keyOf(press);
  const isControl = press.ctrlKey || press.metaKey;
  if (press.altKey && !isControl) {
    if (key === "ArrowUp") return "chat_up";
    if (key === "ArrowDown") return "chat_down";
    // Many browsers keep Ctrl+N for themselves.
    return key === "n" ? "new_chat" : null;
  }
  if (!isControl || press.altKey) return null;
  if (press.shiftKey) {
    if (key === "f") return "search_all";
    if (key === "l") return "lock";
    // On layouts where the slash needs Shift.
    return key === "/" ? "shortcuts" : null;
  }
  return WITH_CTRL[key] ?? null;
}
