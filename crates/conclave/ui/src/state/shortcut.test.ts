// Key presses on keyboards of several alphabets.
import { expect, test } from "vitest";
import { type Press, shortcutOf } from "./shortcut";

const press = (key: string, code: string, more: Partial<Press> = {}): Press => ({
  key,
  code,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});
const ctrl = { ctrlKey: true };

/** Latin layouts go by the letter, wherever its key is; all others by the place of the key. */
test("letters on Latin layouts, places on others", () => {
  expect(shortcutOf(press("k", "KeyK", ctrl))).toBe("palette");
  expect(shortcutOf(press("K", "KeyK", ctrl))).toBe("palette");
  // Dvorak: the letter K lies where V lies elsewhere, and T where K does.
  expect(shortcutOf(press("k", "KeyV", ctrl))).toBe("palette");
  expect(shortcutOf(press("t", "KeyK", ctrl))).toBe(null);
  // Russian, Arabic, Hebrew.
  expect(shortcutOf(press("л", "KeyK", ctrl))).toBe("palette");
  expect(shortcutOf(press("ن", "KeyK", ctrl))).toBe("palette");
  expect(shortcutOf(press("ל", "KeyK", ctrl))).toBe("palette");
});

/** A slash that needs Shift is a slash; AltGr writes and never commands. */
test("slashes and AltGr", () => {
  expect(shortcutOf(press("/", "Digit7", { ctrlKey: true, shiftKey: true }))).toBe("shortcuts");
  expect(shortcutOf(press("/", "Slash", ctrl))).toBe("shortcuts");
  expect(shortcutOf(press("n", "KeyN", { ctrlKey: true, altKey: true }))).toBe(null);
  expect(shortcutOf(press("n", "KeyN"))).toBe(null);
});

/** Chats go up and down with Alt, new ones begin with Ctrl or Alt. */
test("chats by keys", () => {
  expect(shortcutOf(press("ArrowUp", "ArrowUp", { altKey: true }))).toBe("chat_up");
  expect(shortcutOf(press("ArrowDown", "ArrowDown", { altKey: true }))).toBe("chat_down");
  expect(shortcutOf(press("n", "KeyN", ctrl))).toBe("new_chat");
  expect(shortcutOf(press("n", "KeyN", { altKey: true }))).toBe("new_chat");
  expect(shortcutOf(press("n", "KeyN", { metaKey: true }))).toBe("new_chat");
});
