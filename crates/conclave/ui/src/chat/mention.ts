// Who can be named in a group, and whom a text names: `@` and the name under which this person knows them.
import type { ContactRow, PersonRow } from "../api/rows";
import { identifierOf } from "../state/identifier";
import { safeName } from "../text/safe";

/** Somebody who can be named. */
export interface Named {
  account: string;
  /** What stands behind the `@`; the program finds the person by it. */
  label: string;
  identifier: string;
}

/** The people among `members` who are known under a name or an identifier of their own. */
export function namedOf(members: readonly PersonRow[], contacts: readonly ContactRow[]): Named[] {
  return members.flatMap(({ account }) => {
    const contact = contacts.find((one) => one.account === account);
    if (!contact) return [];
    const { name, identifier } = contact;
    const isAlone = contacts.filter((one) => one.name === name).length === 1;
    const isPlain = name !== "" && safeName(name) === name && !name.includes("@") && identifierOf(name) === null;
    const label = isAlone && isPlain ? name : identifier;
    return label === "" ? [] : [{ account, label, identifier }];
  });
}

/** A name that is being written: where its `@` stands, and the letters behind it. */
export interface Begun {
  start: number;
  letters: string;
}

/** The name that is being written in front of `caret`; null when there is none. */
export function begunAt(text: string, caret: number): Begun | null {
  const found = /(?<![\p{L}\p{N}])@([^@\n]{0,60})$/u.exec(text.slice(0, caret));
  return found ? { start: found.index, letters: found[1] ?? "" } : null;
}

/** Those whom `letters` may mean: by the beginning of a word of their name, or of their identifier. */
export function fitting(named: readonly Named[], letters: string): Named[] {
  const wanted = letters.toLocaleLowerCase();
  return named.filter(({ label, identifier }) =>
    [label, identifier].some((text) => ` ${text.toLocaleLowerCase()}`.includes(` ${wanted}`)),
  );
}

/** The labels of those whom a text names. The longest come first: `@Ann` is not found in `@Ann Lee`. */
export function mentionsIn(text: string, named: readonly Named[]): string[] {
  let left = text;
  const longest = [...named].sort((a, b) => b.label.length - a.label.length);
  return longest.flatMap(({ label }) => {
    const words = new RegExp(`(?<![\\p{L}\\p{N}])@${label.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(?![\\p{L}\\p{N}])`, "gu");
    if (!words.test(left)) return [];
    left = left.replace(words, "\n");
    return [label];
  });
}
