// One person in a list: picture, name, identifier, and how far they are trusted.
import type { ComponentChildren } from "preact";
import type { PersonRow } from "../api/rows";
import { Avatar } from "../parts/Avatar";
import { personName } from "../chat/names";
import { safeName } from "../text/safe";
import { t } from "../text/index";

interface Props {
  person: PersonRow;
  /** `unverified`, `verified`, `changed`; said when it is worth a word. */
  trust?: string;
  /** More words below the name. */
  note?: string;
  /** Makes the line a button. */
  onClick?: (() => void) | undefined;
  /** Whether more about them stands below; for lines that open. */
  expanded?: boolean;
  /** Buttons at the end of the line. */
  children?: ComponentChildren;
}

/** One person. */
export function PersonLine({ person, trust, note, onClick, expanded, children }: Props) {
  const name = personName(person);
  const identifier = safeName(person.identifier);
  const below = [name === identifier ? "" : identifier, note ?? ""].filter(Boolean);
  const words = (
    <>
      <Avatar name={name} id={person.account} />
      <span class="person-words">
        <span class="person-name">
          <bdi>{name}</bdi>
          {trust === "verified" && <span class="tag good">{t("trust.verified")}</span>}
          {trust === "changed" && <span class="tag bad">{t("trust.changed")}</span>}
        </span>
        {below.length > 0 && (
          <span class="person-below">
            {below.map((text) => (
              <bdi key={text}>{text}</bdi>
            ))}
          </span>
        )}
      </span>
    </>
  );
  return (
    <div class="person-line">
      {onClick ? (
        <button type="button" class="person-button" aria-expanded={expanded} onClick={onClick}>
          {words}
        </button>
      ) : (
        <div class="person-plain">{words}</div>
      )}
      {children}
    </div>
  );
}
