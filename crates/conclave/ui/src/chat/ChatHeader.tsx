// Above the conversation: with whom, how they are known, and what can be done.
import { useState } from "preact/hooks";
import type { ChatRow } from "../api/rows";
import { Avatar } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { Menu, type Place } from "../parts/Menu";
import { showChat } from "../state/chats";
import { contactOf } from "../state/contacts";
import { openDialog } from "../state/dialogs";
import { members } from "../state/members";
import { typing } from "../state/typing";
import { safeName } from "../text/safe";
import { span } from "../text/time";
import { t } from "../text/index";
import { chatItems } from "./chatMenu";
import { chatName, personName } from "./names";

/** The head of the open chat. */
export function ChatHeader({ chat }: { chat: ChatRow }) {
  const [menu, setMenu] = useState<Place | null>(null);
  const name = chatName(chat);
  return (
    <header class="chat-head">
      <IconButton class="chat-back" icon="back" label={t("chat.back")} onClick={() => showChat(null)} />
      <button type="button" class="chat-who" onClick={() => openAbout(chat)} title={t("chat.about", { name })}>
        <Avatar id={chat.with?.account ?? chat.id} name={name} size="small" />
        <span class="chat-who-words">
          <span class="chat-who-name"><h2 class="ellipsis"><bdi>{name}</bdi></h2><Verified chat={chat} /></span>
          <Subtitle chat={chat} />
        </span>
      </button>
      {(chat.timer_s ?? 0) > 0 && (
        <button type="button" class="button button-quiet chat-timer" title={t("chat.timer_is", { time: span(chat.timer_s ?? 0) })} onClick={() => openDialog("timer", { chat: chat.id })}>
          <Icon name="timer" label={t("chat.timer_is", { time: span(chat.timer_s ?? 0) })} />
          <span aria-hidden="true">{span(chat.timer_s ?? 0)}</span>
        </button>
      )}
      <IconButton icon="search" label={t("chat.search")} onClick={() => openDialog("search", { chat: chat.id })} />
      <IconButton
        icon="more"
        label={t("chats.actions")}
        aria-haspopup="menu"
        aria-expanded={menu !== null}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          setMenu({ x: box.left - 120, y: box.bottom + 4 });
        }}
      />
      {menu && <Menu items={chatItems(chat)} at={menu} label={t("chats.actions")} onClose={() => setMenu(null)} />}
    </header>
  );
}

function openAbout(chat: ChatRow): void {
  if (chat.kind === "group") openDialog("group", { chat: chat.id });
  else if (chat.with) openDialog("safety", { who: chat.with.account });
}

function Verified({ chat }: { chat: ChatRow }) {
  const trust = chat.with ? contactOf(chat.with.account)?.trust : undefined;
  return trust === "verified" ? <Icon name="shield" label={t("chats.verified")} /> : null;
}

function Subtitle({ chat }: { chat: ChatRow }) {
  const writers = typing.value[chat.id];
  if (writers?.length) return <span class="typing ellipsis" role="status">{t("chat.typing", { n: writers.length, who: personName(writers[0]) })}</span>;
  const words = chat.with ? safeName(chat.with.identifier) : chat.kind === "group" ? whoIsIn(chat.id) : t("chat.own_hint");
  return <span class="soft ellipsis"><bdi>{words}</bdi></span>;
}

const NAMED = 20;

/** The members of a group by name, as far as a line can have them. */
function whoIsIn(chat: string): string {
  const names = (members.value[chat] ?? []).slice(0, NAMED).map(personName);
  return names.length === 0 ? t("chat.group") : [...names, t("person.you")].join(t("person.between"));
}
