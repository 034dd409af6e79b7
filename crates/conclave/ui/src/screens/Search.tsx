// Looks for words in one chat or in all, shows where they stand, and goes there.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { rpc } from "../api/rpc";
import type { ApiError } from "../api/rpc";
import type { FoundRow } from "../api/rows";
import { chatName, personName } from "../chat/names";
import { jumpTo } from "../chat/view";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { ArrowList } from "../parts/List";
import { chats } from "../state/chats";
import { t } from "../text/index";
import { around, pieces } from "../text/pieces";
import { safeName, safeText } from "../text/safe";
import { fullTime, shortTime } from "../text/time";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { asProblem } from "./task";

const PAGE = 30;
const TYPED_MS = 150;
/** Characters of a message that a result shows. */
const SHOWN = 240;

/** The dialog. */
export function Search(props: { chat?: string; words?: string; onClose: () => void }) {
  const chat = useSignal(props.chat ?? "");
  const words = useSignal(props.words ?? "");
  const search = useFound(words.value.trim(), chat.value);
  const found = search.found.value;
  const row = chats.value.find((one) => one.id === chat.value);
  const title = row ? t("search.in_chat", { name: chatName(row) }) : t("search.title");
  const go = (one: FoundRow) => {
    props.onClose();
    void jumpTo(one.chat, one.id);
  };
  return (
    <Dialog title={title} onClose={props.onClose}>
      <form
        role="search"
        class="field-row"
        onSubmit={(event) => {
          event.preventDefault();
          if (found?.[0]) go(found[0]);
        }}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          event.currentTarget.parentElement?.querySelector<HTMLElement>("[data-row]")?.focus();
        }}
      >
        <Field label={t("search.words")} {...bind(words)} name="words" role="searchbox" autofocus />
        {row && (
          <Button kind="quiet" onClick={() => (chat.value = "")}>
            {t("search.all")}
          </Button>
        )}
      </form>
      <Problem of={search.problem} />
      <p class="visually-hidden" role="status">
        {found ? t("search.count", { n: found.length }) : ""}
      </p>
      {found?.length === 0 && <p class="empty">{t("search.none")}</p>}
      {found && found.length > 0 && (
        <ArrowList label={t("search.results")}>
          {found.map((one) => (
            <li key={one.id}>
              <Found row={one} isAlone={row !== undefined} onGo={() => go(one)} />
            </li>
          ))}
        </ArrowList>
      )}
      {search.hasMore.value && <Button onClick={search.more}>{t("search.more")}</Button>}
    </Dialog>
  );
}

/** What is found while somebody types; answers that come too late are dropped. */
function useFound(words: string, chat: string) {
  const found = useSignal<FoundRow[] | null>(null);
  const hasMore = useSignal(false);
  const problem = useSignal<ApiError | null>(null);
  const newest = useRef(0);
  const ask = async (before: FoundRow[]) => {
    newest.current += 1;
    const mine = newest.current;
    try {
      const call: Record<string, unknown> = { words, limit: PAGE };
      if (chat) call["chat"] = chat;
      const last = before.at(-1);
      if (last) call["before"] = last.id;
      const { messages } = await rpc<{ messages: FoundRow[] }>("messages.search", call);
      if (mine !== newest.current) return;
      found.value = [...before, ...messages];
      hasMore.value = messages.length === PAGE;
      problem.value = null;
    } catch (thrown) {
      if (mine === newest.current) problem.value = asProblem(thrown);
    }
  };
  useEffect(() => {
    if (words === "") {
      newest.current += 1;
      found.value = null;
      hasMore.value = false;
      return;
    }
    const timer = setTimeout(() => void ask([]), TYPED_MS);
    return () => clearTimeout(timer);
  }, [words, chat]);
  return { found, hasMore, problem, more: () => void ask(found.value ?? []) };
}

/** One result: where, who, when, and the words around what was looked for. */
function Found({ row, isAlone, onGo }: { row: FoundRow; isAlone: boolean; onGo: () => void }) {
  const who = row.own ? t("person.you") : personName(row.from);
  const where = row.chat_with ? personName(row.chat_with) : safeName(row.chat_name);
  const head = isAlone || where === who ? who : `${where} · ${who}`;
  return (
    <button type="button" data-row class="found" onClick={onGo}>
      <span class="found-head">
        <bdi>{head}</bdi>
        <time dateTime={row.ts} title={fullTime(row.ts_ms)}>
          {shortTime(row.ts_ms)}
        </time>
      </span>
      <span class="found-words" dir="auto">
        {around(pieces(row.text, row.ranges), SHOWN).map((piece, place) =>
          piece.hit ? (
            <mark key={place}>{safeText(piece.text)}</mark>
          ) : (
            <span key={place}>{safeText(piece.text).slice(0, SHOWN)}</span>
          ),
        )}
      </span>
    </button>
  );
}
