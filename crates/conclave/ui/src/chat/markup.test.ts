// What the markup of a message becomes, also when it means harm.
import { expect, test } from "vitest";
import type { MentionRow } from "../api/rows";
import { blocks, plain, type Part } from "./markup";

const kinds = (parts: Part[]): string =>
  parts.map((part) => ("parts" in part ? `${part.kind}(${kinds(part.parts)})` : `${part.kind}:${part.text}`)).join("|");
const read = (text: string, mentions: MentionRow[] = []) =>
  blocks(text, mentions).map((block) => (block.kind === "code" ? `code[${block.text}]` : `${block.kind}[${kinds(block.parts)}]`));

/** Markup is read, also one in another; without it words stay as they are. */
test("simple markup", () => {
  expect(read("a *b _c_* `d*e*`")).toEqual(["words[text:a |bold(text:b |italic(text:c))|text: |code:d*e*]"]);
  expect(read("snake_case_name 2*3*4 ~ a ~")).toEqual(["words[text:snake_case_name 2*3*4 ~ a ~]"]);
});

/** Code blocks keep their lines; one that does not end goes to the end. */
test("code blocks", () => {
  expect(read("see\n```rust\nlet a = *b*;\n\nx\n```\nok")).toEqual(["words[text:see]", "code[let a = *b*;\n\nx]", "words[text:ok]"]);
  expect(read("```\nopen")).toEqual(["code[open]"]);
});

/** Lines behind an angle are a quote. */
test("quotes", () => {
  expect(read("> said\nanswer")).toEqual(["quote[text:said]", "words[text:answer]"]);
});

/** HTML is words; only http and https become links; an address that hides its host does not, or shows it. */
test("nothing becomes more than words and links", () => {
  expect(read("<img src=x onerror=alert(1)>")).toEqual(["words[text:<img src=x onerror=alert(1)>]"]);
  expect(read("javascript:alert(1) data:text/html,x")).toEqual(["words[text:javascript:alert(1) data:text/html,x]"]);
  expect(read("https://bank.example@evil.example/")).toEqual(["words[text:https://bank.example@evil.example/]"]);
  const [block] = blocks("https://exаmple.org/a, b");
  expect(block?.kind === "words" && block.parts[0]).toMatchObject({ kind: "link", text: "https://exаmple.org/a", host: "xn--exmple-4nf.org" });
});

/** Mentions are places in bytes; ones outside the text are left out. */
test("mentions", () => {
  const at = (start: number, length: number) => ({ start, length, own: false }) as MentionRow;
  expect(read("é @Anna hi", [at(3, 5), at(90, 5)])).toEqual(["words[text:é |mention:@Anna|text: hi]"]);
});

/** Long texts made to be slow to read are read before the test's time is over, and lose nothing but markup. */
test("long hostile texts end", () => {
  for (const piece of ["*a", "_ ", "`", "**", "> \n", "```\n", "https://", "~a ~"]) {
    const text = piece.repeat(65_536 / piece.length);
    expect(plain(text).length).toBeLessThanOrEqual(text.length + 1);
  }
});
