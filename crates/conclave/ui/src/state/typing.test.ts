// Who is shown as writing.
import { expect, test } from "vitest";
import { heedSpoken, heedTyping, typing } from "./typing";

const anna = { account: "a", identifier: "anna@example.org", name: "Anna" };
const ben = { account: "b", identifier: "ben@example.org", name: "Ben" };

/** Somebody whose message came writes no more, also when word of the writing comes behind it; others still do. */
test("what was written ends the writing", () => {
  heedTyping("c", anna);
  heedTyping("c", anna);
  heedTyping("c", ben);
  expect(typing.value["c"]).toEqual([anna, ben]);
  heedSpoken("c", "a");
  heedTyping("c", anna);
  expect(typing.value["c"]).toEqual([ben]);
});
