// Where one writes: drafts, answers, changes, files and emoji.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ChatRow, MessageRow } from "../api/rows";
import { IconButton } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { draftOf, setDraft } from "../state/drafts";
import { edit, isLocal, send } from "../state/sending";
import { thread } from "../state/threads";
import { tellTyping } from "../state/typing";
import { t } from "../text/index";
import { DropPlace } from "./DropPlace";
import { EmojiPicker } from "./EmojiPicker";
import { FilesAsk } from "./FilesAsk";
import { listAria, MentionList, type Mentions, namedIn, useMentions } from "./MentionList";
import { mentionsIn } from "./mention";
import { OneLine } from "./Message";
import { isEditable } from "./messageMenu";
import { personName } from "./names";
import { editing, replying } from "./view";

/** The place at the bottom of an open chat. */
export function Composer({ chat }: { chat: ChatRow }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const files = useSignal<File[]>([]);
  const isPicking = useSignal(false);
  const mentions = useMentions(chat.id, chat.kind === "group", area);
  useEffect(() => {
    setText(area.current, draftOf(chat.id));
    if (matchMedia("(hover: hover)").matches) area.current?.focus({ preventScroll: true });
  }, [chat.id]);
  useSignalEffect(() => {
    const row = editing.value;
    if (row) setText(area.current, row.text);
    if (row || replying.value) area.current?.focus();
  });
  const submit = () => {
    const text = area.current?.value.trim() ?? "";
    if (finish(chat, text)) {
      setText(area.current, "");
      setDraft(chat.id, "");
    }
    area.current?.focus();
  };
  const addFiles = (list: Iterable<File>) => (files.value = [...files.value, ...list]);
  return (
    <section class="composer" aria-label={t("composer.title")}>
      <Context />
      <form
        class="composer-row"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <IconButton icon="clip" label={t("composer.attach")} onClick={() => picker.current?.click()} />
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          aria-label={t("composer.attach")}
          onChange={(event) => {
            addFiles(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
        <textarea
          ref={area}
          class="composer-text"
          rows={1}
          dir="auto"
          maxLength={65_536}
          aria-label={t("composer.label")}
          placeholder={t("composer.placeholder")}
          {...listAria(mentions)}
          onSelect={mentions.look}
          onBlur={mentions.close}
          onInput={(event) => {
            grow(event.currentTarget);
            mentions.look();
            if (editing.peek()) return;
            setDraft(chat.id, event.currentTarget.value);
            if (event.currentTarget.value !== "") tellTyping(chat.id);
          }}
          onKeyDown={(event) => keys(event, chat, mentions, submit)}
          onPaste={(event) => {
            const pasted = [...(event.clipboardData?.files ?? [])];
            if (pasted.length === 0) return;
            event.preventDefault();
            addFiles(pasted);
          }}
        />
        <IconButton icon="smile" label={t("composer.emoji")} aria-expanded={isPicking.value} aria-haspopup="dialog" onClick={() => (isPicking.value = !isPicking.value)} />
        <IconButton class="composer-send" type="submit" icon={editing.value ? "check" : "send"} label={t(editing.value ? "composer.save" : "composer.send")} />
      </form>
      {isPicking.value && (
        <EmojiPicker
          onPick={(emoji) => insert(area.current, emoji)}
          onClose={() => {
            isPicking.value = false;
            area.current?.focus();
          }}
        />
      )}
      <MentionList of={mentions} />
      <DropPlace onFiles={addFiles} />
      {files.value.length > 0 && (
        <FilesAsk
          files={files.value}
          text={area.current?.value ?? ""}
          onChange={(left) => (files.value = left)}
          onSend={(text) => {
            send({ chat: chat.id, text, files: files.value, reply: replyOf(replying.value) });
            files.value = [];
            replying.value = null;
            setText(area.current, "");
            setDraft(chat.id, "");
          }}
        />
      )}
    </section>
  );
}

/** What is answered or changed, with a way out. */
function Context() {
  const row = editing.value ?? replying.value;
  if (!row) return null;
  const isEdit = editing.value !== null;
  return (
    <div class="composer-context">
      <Icon name={isEdit ? "edit" : "reply"} />
      <span class="composer-context-words">
        <strong>{isEdit ? t("composer.editing") : t("composer.replying", { who: row.own ? t("person.you") : personName(row.from) })}</strong>
        <OneLine row={row} />
      </span>
      <IconButton icon="close" label={t("action.cancel")} onClick={leave} />
    </div>
  );
}

function leave(): void {
  const wasEdit = editing.value !== null;
  editing.value = null;
  replying.value = null;
  const area = document.querySelector<HTMLTextAreaElement>(".composer-text");
  if (wasEdit && area) {
    setText(area, "");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area?.focus();
}

/** Sends or changes; false when there is nothing to do. */
function finish(chat: ChatRow, text: string): boolean {
  const changed = editing.value;
  if (text === "") return false;
  if (changed) {
    editing.value = null;
    if (text !== changed.text) void edit(changed, text, mentionsIn(text, namedIn(chat.id)));
    return true;
  }
  send({ chat: chat.id, text, reply: replyOf(replying.value), mentions: mentionsIn(text, namedIn(chat.id)) });
  replying.value = null;
  return true;
}

function replyOf(row: MessageRow | null) {
  return row && { id: row.id, from: row.from, text: row.text.slice(0, 200), here: true };
}

function keys(event: KeyboardEvent, chat: ChatRow, mentions: Mentions, submit: () => void): void {
  const area = event.currentTarget as HTMLTextAreaElement;
  if (event.isComposing || mentions.heed(event)) return;
  if (event.key === "Enter" && !event.shiftKey && !event.altKey && !event.ctrlKey) {
    event.preventDefault();
    submit();
  } else if (event.key === "Escape" && (editing.value || replying.value)) {
    event.preventDefault();
    event.stopPropagation();
    leave();
  } else if (event.key === "ArrowUp" && area.value === "" && !event.altKey && !event.ctrlKey) {
    const last = thread(chat.id).value.messages.findLast((row) => row.own && !isLocal(row) && isEditable(row));
    if (!last) return;
    event.preventDefault();
    editing.value = last;
  }
}

function insert(area: HTMLTextAreaElement | null, words: string): void {
  if (!area) return;
  area.setRangeText(words, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

function setText(area: HTMLTextAreaElement | null, text: string): void {
  if (!area) return;
  area.value = text;
  area.setSelectionRange(text.length, text.length);
  grow(area);
}

// Browsers that size a field by its content need no help.
function grow(area: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
