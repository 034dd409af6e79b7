// The conversation: head, pinned messages, lines, and where one writes.
import { useEffect } from "preact/hooks";
import type { ChatRow } from "../api/rows";
import { Icon } from "../parts/Icon";
import { Menu } from "../parts/Menu";
import { openChat, openRow } from "../state/chats";
import { loadContacts } from "../state/contacts";
import { flushDraft } from "../state/drafts";
import { loadFiles } from "../state/files";
import { report } from "../state/notices";
import { loadTimer } from "../state/timer";
import { findMessage, forgetThreads, loadThread, thread } from "../state/threads";
import { t } from "../text/index";
import { Announcer } from "./Announcer";
import { ChatHeader } from "./ChatHeader";
import { ChatState } from "./ChatState";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { DeleteAsk } from "./DeleteAsk";
import { messageItems, messageMenu } from "./messageMenu";
import { PinnedBar } from "./PinnedBar";
import { QuickReactions } from "./QuickReactions";
import { SelectBar } from "./SelectBar";
import { resetView, selected } from "./view";

/** The open chat, or a word on how to open one. */
export function ChatView() {
  const chat = openRow.value;
  useEffect(() => opened(openChat.value), [openChat.value]);
  return (
    <main class="chat" id="conversation" tabIndex={-1}>
      <h1 class="visually-hidden">{t("app.name")}</h1>
      {chat ? <Open key={chat.id} chat={chat} /> : <Nothing />}
      <MessageMenu />
      <DeleteAsk />
      <Announcer />
    </main>
  );
}

function Open({ chat }: { chat: ChatRow }) {
  return (
    <>
      <ChatHeader chat={chat} />
      <PinnedBar chat={chat} />
      <Conversation key={chat.id} chat={chat} />
      {selected.value ? <SelectBar chat={chat} /> : chat.state === "open" ? <Composer key={chat.id} chat={chat} /> : <ChatState chat={chat} />}
    </>
  );
}

function opened(id: string | null): (() => void) | undefined {
  resetView();
  if (id === null) return undefined;
  loadThread(id, openRow.value?.unread ?? 0).catch(report);
  loadFiles(id).catch(() => undefined);
  loadTimer(id).catch(() => undefined);
  loadContacts().catch(() => undefined);
  return () => {
    flushDraft(id);
    // It opens at its end the next time, wherever one jumped in it.
    if (thread(id).peek().hasNewer) forgetThreads(id);
  };
}

function MessageMenu() {
  const open = messageMenu.value;
  if (!open) return null;
  const row = findMessage(open.row.chat, open.row.id) ?? open.row;
  const close = () => (messageMenu.value = null);
  return (
    <Menu
      items={messageItems(row)}
      at={open.at}
      label={t("message.actions")}
      head={row.deleted_by ? null : <QuickReactions row={row} onDone={close} />}
      onClose={close}
    />
  );
}

function Nothing() {
  return (
    <div class="chat-nothing">
      <Icon name="lock" />
      <p>{t("chat.none")}</p>
      <p class="soft">{t("chat.none_hint")}</p>
    </div>
  );
}
