// Picks people for a group: those one knows by a tick, others by number or address.
import { type Signal, useSignal } from "@preact/signals";
import type { ContactRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { identifierOf } from "../state/identifier";
import { t } from "../text/index";
import { bind } from "./bind";
import { matches } from "./NewChat";
import { personName } from "../chat/names";

interface Props {
  contacts: ContactRow[];
  /** Identifiers and accounts, in the order they were picked. */
  picked: Signal<string[]>;
  /** Accounts that are in already. */
  without?: readonly string[];
}

/** Field, list of ticks, and who was picked. */
export function PeoplePicker({ contacts, picked, without = [] }: Props) {
  const typed = useSignal("");
  const identifier = identifierOf(typed.value);
  const known = contacts.filter(
    (one) => !one.blocked && !without.includes(one.account) && matches(one, typed.value),
  );
  const toggle = (who: string) => {
    const now = picked.value;
    picked.value = now.includes(who) ? now.filter((one) => one !== who) : [...now, who];
  };
  const others = picked.value.filter((who) => !contacts.some((one) => one.account === who));
  const add = () => {
    if (!identifier) return;
    const contact = contacts.find((one) => one.identifier === identifier);
    const who = contact?.account ?? identifier;
    if (!picked.value.includes(who)) toggle(who);
    typed.value = "";
  };
  return (
    <fieldset class="picker">
      <legend>{t("picker.title", { n: picked.value.length })}</legend>
      <div class="picker-row">
        <Field
          label={t("picker.who")}
          {...bind(typed)}
          name="who"
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !identifier) return;
            event.preventDefault();
            add();
          }}
        />
        <Button onClick={add} disabled={!identifier}>
          {t("picker.add")}
        </Button>
      </div>
      {others.map((who) => (
        <label key={who} class="pick-line">
          <input type="checkbox" checked onChange={() => toggle(who)} />
          <bdi>{who}</bdi>
        </label>
      ))}
      {known.map((one) => (
        <label key={one.account} class="pick-line">
          <input
            type="checkbox"
            checked={picked.value.includes(one.account)}
            onChange={() => toggle(one.account)}
          />
          <span>
            <bdi>{personName(one)}</bdi> <bdi class="soft-note">{one.name ? one.identifier : ""}</bdi>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
