// What people type as their number or address.
import { expect, test } from "vitest";
import { identifierOf } from "./identifier";

/** Numbers lose what people put between digits; addresses stay as they are. */
test("numbers and addresses are taken as people write them", () => {
  expect(identifierOf(" +49 (151) 123-456.78 ")).toBe("+4915112345678");
  expect(identifierOf("0049 151 12345678")).toBe("+4915112345678");
  expect(identifierOf("Anna@Example.org ")).toBe("Anna@Example.org");
});

/** Names, numbers without a country and addresses without a domain are none. */
test("what can be neither is refused", () => {
  for (const typed of ["", "anna", "0151 1234567", "+0123456789", "anna@home", "a b@example.org", "+12"]) {
    expect([typed, identifierOf(typed)]).toEqual([typed, null]);
  }
});
