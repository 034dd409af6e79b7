// Names somebody of a group: behind an `@` a list opens above the line; arrows choose, Enter takes, Esc closes.
import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useId } from "preact/hooks";
import { Avatar } from "../parts/Avatar";
import { contacts } from "../state/contacts";
import { watch } from "../state/live";
import { loadMembers, members } from "../state/members";
import { t } from "../text/index";
import { type Begun, begunAt, fitting, type Named, namedOf } from "./mention";

const SHOWN = 8;

/** The list of a line to write in. */
export interface Mentions {
  id: string;
  /** Those whom the letters behind the `@` may mean; none while nobody is being named. */
  found: readonly Named[];
  /** Which of them Enter takes. */
  at: Signal<number>;
  /** Looks where the caret stands: at each key, press and change. */
  look: () => void;
  /** Closes the list: the line was left. */
  close: () => void;
  /** Puts the name into the line. */
  pick: (named: Named) => void;
  /** True when a key belongs to the list. */
  heed: (event: KeyboardEvent) => boolean;
}

/** Everybody who can be named in a group now. */
export function namedIn(chat: string): Named[] {
  return namedOf(members.value[chat] ?? [], contacts.value);
}

/** Ties the list to the line `area` of a group; in other chats it stays empty. */
export function useMentions(chat: string, isGroup: boolean, area: RefObject<HTMLTextAreaElement | null>): Mentions {
  const id = useId();
  const begun = useSignal<Begun | null>(null);
  const at = useSignal(0);
  // The `@` whose list was closed by Esc stays alone.
  const closed = useSignal(-1);
  useEffect(() => {
    if (!isGroup) return undefined;
    const load = () => void loadMembers(chat).catch(() => undefined);
    load();
    return watch((event) => "chat" in event && event.chat === chat && event.type === "group_change" && load());
  }, [chat, isGroup]);
  const found = begun.value ? fitting(namedIn(chat), begun.value.letters).slice(0, SHOWN) : [];
  const look = () => {
    const line = area.current;
    const now = isGroup && line ? begunAt(line.value, line.selectionStart) : null;
    if (now?.start !== closed.value) closed.value = -1;
    if (now?.letters !== begun.value?.letters) at.value = 0;
    begun.value = now?.start === closed.value ? null : now;
  };
  const pick = ({ label }: Named) => {
    const line = area.current;
    if (!line || !begun.value) return;
    line.setRangeText(`@${label} `, begun.value.start, line.selectionStart, "end");
    line.dispatchEvent(new Event("input", { bubbles: true }));
    line.focus();
  };
  const close = () => (begun.value = null);
  const heed = (event: KeyboardEvent): boolean => {
    const chosen = found[Math.min(at.value, found.length - 1)];
    if (!chosen) return false;
    if (event.key === "ArrowDown") at.value = (at.value + 1) % found.length;
    else if (event.key === "ArrowUp") at.value = (at.value + found.length - 1) % found.length;
    else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey) pick(chosen);
    else if (event.key === "Escape") {
      closed.value = begun.value?.start ?? -1;
      close();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  };
  return { id, found, at, look, close, pick, heed };
}

/** What the line is told of its list, for those who hear it. */
export function listAria({ id, found, at }: Mentions) {
  if (found.length === 0) return {};
  return {
    "aria-autocomplete": "list" as const,
    "aria-controls": id,
    "aria-activedescendant": `${id}o${Math.min(at.value, found.length - 1)}`,
  };
}

/** The list; nothing while nobody is being named. */
export function MentionList({ of }: { of: Mentions }) {
  const { id, found, at, pick } = of;
  return (
    <>
      <p class="visually-hidden" role="status">{found.length > 0 && t("mention.count", { n: found.length })}</p>
      {found.length > 0 && (
        <ul id={id} class="mentions options" role="listbox" aria-label={t("mention.title")}>
          {found.map((one, place) => (
            <li
              key={one.account}
              id={`${id}o${place}`}
              class="option"
              role="option"
              aria-selected={place === Math.min(at.value, found.length - 1)}
              // The line keeps the focus.
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => pick(one)}
            >
              <Avatar id={one.account} name={one.label} size="small" />
              <span>
                <bdi>{one.label}</bdi> {one.label !== one.identifier && <bdi class="soft-note">{one.identifier}</bdi>}
              </span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
