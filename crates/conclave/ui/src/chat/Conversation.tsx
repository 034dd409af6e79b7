// The lines of the open chat: it goes to the newest, to what is unread, and to where one jumps.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ChatRow } from "../api/rows";
import { IconButton } from "../parts/Button";
import { report } from "../state/notices";
import { atEnd, lookAgain } from "../state/reading";
import { loadNewer, loadNewest, loadOlder, thread } from "../state/threads";
import { dayName } from "../text/time";
import { number, t } from "../text/index";
import { type Line, layout } from "./layout";
import { moveAmong } from "./messageKeys";
import { Message } from "./Message";
import { noteWords } from "./names";
import { jump } from "./view";
import { VirtualList } from "./VirtualList";

/** The conversation. */
export function Conversation({ chat }: { chat: ChatRow }) {
  const list = useRef<VirtualList>(null);
  const there = thread(chat.id);
  const isFar = useSignal(false);
  const lines = useComputed(() => {
    const { messages, pending, notes, unreadFrom, hasOlder } = there.value;
    const from = hasOlder ? (messages[0]?.ts_ms ?? Infinity) : 0;
    return layout([...messages, ...pending], notes.filter((note) => note.ts_ms >= from), unreadFrom);
  });
  const isReady = useComputed(() => there.value.isReady);
  useEffect(() => begin(list.current, lines.peek()), [isReady.value]);
  useEffect(() => {
    const wanted = jump.value;
    if (wanted === null || !isReady.value) return;
    list.current?.showLine(wanted);
    jump.value = null;
  }, [jump.value, isReady.value]);
  const toEnd = () => {
    if (!there.peek().hasNewer) return list.current?.showEnd();
    // The newest page is drawn by then.
    loadNewest(chat.id).then(() => requestAnimationFrame(() => list.current?.showEnd()), report);
  };
  // One's own new message is always shown.
  const own = useComputed(() => there.value.pending.length);
  useEffect(() => {
    if (own.value > 0) toEnd();
  }, [own.value]);
  if (!isReady.value) return <div class="conversation" aria-busy="true"><p class="conversation-loading soft" role="status">{t("app.loading")}</p></div>;
  const now = lines.value;
  const inGroup = chat.kind === "group";
  return (
    <div class="conversation" onKeyDown={(event) => moveAmong(event, there.peek().messages, list.current)}>
      {now.length === 0 && <p class="conversation-empty soft">{t("chat.empty")}</p>}
      <VirtualList
        handle={list}
        keys={now.map((line) => line.key)}
        guess={(index) => guess(now[index])}
        render={(index) => <Drawn line={now[index]} inGroup={inGroup} />}
        isFixed={(index) => now[index]?.kind === "message"}
        label={t("chat.messages")}
        onNearStart={() => void loadOlder(chat.id).catch(report)}
        onNearEnd={() => void loadNewer(chat.id).catch(report)}
        hasEnd={!there.value.hasNewer}
        onAtEnd={(isEnd) => {
          isFar.value = !isEnd;
          atEnd.value = isEnd;
          lookAgain();
        }}
      />
      {isFar.value && (
        <div class="to-end">
          <IconButton icon="down" label={t("chat.to_end")} onClick={toEnd} />
          {chat.unread > 0 && <span class="badge" aria-hidden="true">{number(chat.unread)}</span>}
        </div>
      )}
    </div>
  );
}

function begin(list: VirtualList | null, lines: Line[]): void {
  atEnd.value = true;
  if (!list) return;
  if (lines.some((line) => line.kind === "unread")) {
    list.showLine("unread");
    atEnd.value = list.isAtEnd;
  } else list.showEnd();
  lookAgain();
}

function Drawn({ line, inGroup }: { line: Line | undefined; inGroup: boolean }) {
  switch (line?.kind) {
    case "message":
      return <Message line={line} inGroup={inGroup} />;
    case "day":
      return <p class="divider" role="separator" aria-label={dayName(line.ms)}><span>{dayName(line.ms)}</span></p>;
    case "unread":
      return <p class="divider divider-unread" role="separator" aria-label={t("chat.unread")}><span>{t("chat.unread")}</span></p>;
    case "note":
      return <p class="note" dir="auto">{noteWords(line.note)}</p>;
    default:
      return null;
  }
}

const LETTERS = 48;

function guess(line: Line | undefined): number {
  if (line?.kind !== "message") return 40;
  const { text, attachments, reply, reactions } = line.row;
  const rows = Math.min(40, Math.ceil(text.length / LETTERS) + text.split("\n", 40).length - 1);
  return 30 + rows * 22 + attachments.length * 64 + (reply ? 48 : 0) + (reactions.length > 0 ? 28 : 0) + (line.first ? 8 : 0);
}
