// A round picture of a person or a group: their own, else letters on a colour that stays theirs.
import { safeName } from "../text/safe";

const COLOURS = 8;

/** Decoration beside a name that is written out. */
export function Avatar({ id, name, picture, size = "normal" }: { id: string; name: string; picture?: string | null; size?: "small" | "normal" | "large" }) {
  return (
    <span class={`avatar avatar-${size} colour-${colourOf(id)}`} aria-hidden="true">
      {picture ? <img src={picture} alt="" /> : letters(name)}
    </span>
  );
}

/** The colour of an id, 0 to 7. */
export function colourOf(id: string): number {
  let sum = 2_166_136_261;
  for (let at = 0; at < id.length; at += 1) sum = Math.imul(sum ^ id.charCodeAt(at), 16_777_619);
  return (sum >>> 15) % COLOURS;
}

function letters(name: string): string {
  const words = safeName(name, 60).split(/[\s._-]+/u).filter((word) => /\p{L}|\p{N}/u.test(word));
  const first = words.slice(0, 2).map((word) => Array.from(word)[0] ?? "");
  return first.join("").toLocaleUpperCase() || "#";
}
