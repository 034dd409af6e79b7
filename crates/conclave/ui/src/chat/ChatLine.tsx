// One chat of the list: who, the last line, when, and what waits.
import type { ChatRow } from "../api/rows";
import { Avatar } from "../parts/Avatar";
import { Icon } from "../parts/Icon";
import type { Place } from "../parts/Menu";
import { isMuted, openChat, showChat } from "../state/chats";
import { contactOf } from "../state/contacts";
import { typing } from "../state/typing";
import { directionOf, safeName } from "../text/safe";
import { fullTime, shortTime } from "../text/time";
import { number, t } from "../text/index";
import { chatName, personName, stateWord, summary } from "./names";

/** A line that opens the chat. */
export function ChatLine({ chat, onMenu }: { chat: ChatRow; onMenu: (at: Place) => void }) {
  const isOpen = openChat.value === chat.id;
  const name = chatName(chat);
  return (
    <li>
      <button
        type="button"
        data-row
        class={isOpen ? "chat-line open" : "chat-line"}
        aria-current={isOpen ? "true" : undefined}
        onClick={() => showChat(chat.id)}
        onContextMenu={(event) => {
          event.preventDefault();
          const box = event.currentTarget.getBoundingClientRect();
          onMenu(event.clientX || event.clientY ? { x: event.clientX, y: event.clientY } : { x: box.left + 48, y: box.bottom - 16 });
        }}
      >
        <Avatar id={chat.with?.account ?? chat.id} name={name} />
        <span class="chat-line-words">
          <span class="chat-line-top">
            <bdi class="chat-line-name ellipsis">{name}</bdi>
            <Marks chat={chat} />
            <time class="soft" dateTime={chat.ts} title={fullTime(chat.ts_ms)}>{shortTime(chat.ts_ms)}</time>
          </span>
          <span class="chat-line-bottom">
            <LastLine chat={chat} isOpen={isOpen} />
            <Unread chat={chat} />
          </span>
        </span>
      </button>
    </li>
  );
}

function Marks({ chat }: { chat: ChatRow }) {
  const isVerified = chat.with ? contactOf(chat.with.account)?.trust === "verified" : false;
  return (
    <span class="chat-line-marks">
      {isVerified && <Icon name="shield" label={t("chats.verified")} />}
      {isMuted(chat) && <Icon name="mute" label={t("chats.muted")} />}
      {chat.pinned && <Icon name="pin" label={t("chats.pinned")} />}
    </span>
  );
}

function LastLine({ chat, isOpen }: { chat: ChatRow; isOpen: boolean }) {
  const writers = typing.value[chat.id];
  if (writers?.length) return <span class="chat-line-last typing ellipsis">{t("chat.typing", { n: writers.length, who: personName(writers[0]) })}</span>;
  if (chat.state === "paused") return <span class="chat-line-last danger ellipsis">{t("chats.paused")}</span>;
  if (chat.draft !== "" && !isOpen) {
    return <span class="chat-line-last ellipsis" dir={directionOf(chat.draft)}><em class="draft">{t("chats.draft")}</em> <bdi>{safeName(chat.draft, 100)}</bdi></span>;
  }
  const last = chat.last;
  if (!last) return <span class="chat-line-last ellipsis">{chat.state === "left" ? t("chats.left") : ""}</span>;
  const who = last.own ? t("person.you") : chat.kind === "group" ? personName(last.from) : "";
  const words = summary(last);
  return (
    <span class="chat-line-last ellipsis" dir={directionOf(words)}>
      {last.own && (last.state === "queued" || last.state === "failed") && <Icon name={last.state === "failed" ? "alert" : "clock"} label={stateWord(last)} />}
      {who && <>{t("chats.from", { who })} </>}
      <bdi>{words}</bdi>
    </span>
  );
}

function Unread({ chat }: { chat: ChatRow }) {
  if (chat.unread === 0 && !chat.marked_unread) return null;
  const words = chat.unread > 0 ? t("chats.unread", { n: chat.unread }) : t("chats.marked_unread");
  return (
    <span class={isMuted(chat) ? "badge badge-quiet" : "badge"}>
      <span aria-hidden="true">{chat.unread > 0 ? number(Math.min(chat.unread, 999)) : "•"}</span>
      <span class="visually-hidden">{words}</span>
    </span>
  );
}
