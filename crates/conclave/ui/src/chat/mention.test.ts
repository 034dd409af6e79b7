// Whom a text names.
import { expect, test } from "vitest";
import type { ContactRow } from "../api/rows";
import { begunAt, fitting, mentionsIn, namedOf } from "./mention";

const contact = (account: string, name: string) =>
  ({ account, name, identifier: `${account}@example.org` }) as ContactRow;
const people = [contact("a", "Ann"), contact("b", "Ann Lee"), contact("c", "Bo"), contact("d", "Bo"), contact("e", "+49")];
const named = namedOf(people, people);

/** A name that is one person's alone is their label; of two with one name, and where a name looks odd, the identifier is. */
test("labels are one person's alone", () => {
  expect(named.map((one) => one.label)).toEqual(["Ann", "Ann Lee", "c@example.org", "d@example.org", "+49"]);
  expect(namedOf([{ account: "x", name: "Xi", identifier: "" }], people)).toEqual([]);
  expect(namedOf([people[0]!], [contact("a", "An\nn")])[0]?.label).toBe("a@example.org");
});

/** An address is no name, and a name ends where its line ends. */
test("what is begun", () => {
  expect(begunAt("hi @An", 6)).toEqual({ start: 3, letters: "An" });
  expect(begunAt("hi @An", 5)).toEqual({ start: 3, letters: "A" });
  expect(begunAt("mail ann@ex", 11)).toBeNull();
  expect(begunAt("@An\nn", 5)).toBeNull();
  expect(fitting(named, "le").map((one) => one.label)).toEqual(["Ann Lee"]);
  expect(fitting(named, "Ann ").map((one) => one.label)).toEqual(["Ann Lee"]);
});

/** Only whole names count, and a long one does not name who has its beginning. */
test("who is named", () => {
  expect(mentionsIn("@Ann Lee, come", named)).toEqual(["Ann Lee"]);
  expect(mentionsIn("@Ann and @Ann Lee", named)).toEqual(["Ann Lee", "Ann"]);
  expect(mentionsIn("@Anna, x@Ann", named)).toEqual([]);
  expect(mentionsIn("ask @c@example.org!", named)).toEqual(["c@example.org"]);
});
