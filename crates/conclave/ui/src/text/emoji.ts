// The emoji of the picker with the words they are found by.
import list from "./emoji.json";

/** An emoji and its words, the first of which is its name. */
export interface Emoji {
  emoji: string;
  words: string;
}

/** Emoji of one kind. */
export interface EmojiGroup {
  name: string;
  emoji: Emoji[];
}

/** All of them. */
export function emojiGroups(): EmojiGroup[] {
  return Object.entries(list).map(([name, members]) => ({
    name,
    emoji: Object.entries(members).map(([emoji, words]) => ({ emoji, words })),
  }));
}
