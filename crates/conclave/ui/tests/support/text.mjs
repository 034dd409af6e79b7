// The page's words by their keys, so that tests find things by what people see and hear.

import { readFileSync } from "node:fs";

const catalogue = JSON.parse(
  readFileSync(new URL("../../src/text/en.json", import.meta.url), "utf8"),
);

/** The English text of `key`, with `values` put in; throws when the catalogue does not have it. */
export function t(key, values = {}) {
  const found = catalogue[key];
  if (found === undefined) throw new Error(`the catalogue has no ${key}`);
  const text = typeof found === "string" ? found : found[plural(values.n)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

function plural(number) {
  return new Intl.PluralRules("en").select(number ?? 0);
}
