// What can be done with a chat.
import { onceKey, rpc } from "../api/rpc";
import type { ChatRow } from "../api/rows";
import type { MenuItem } from "../parts/Menu";
import { isMuted, openChat, patchChat, putChat, showChat } from "../state/chats";
import { openDialog } from "../state/dialogs";
import { report } from "../state/notices";
import { forgetThreads } from "../state/threads";
import { t } from "../text/index";

/** The lines of a chat's menu. */
export function chatItems(chat: ChatRow): MenuItem[] {
  const muted = isMuted(chat);
  const who = chat.with?.account;
  const items: (MenuItem | false | undefined)[] = [
    chat.kind === "group" && { label: t("chat.group_info"), icon: "group", run: () => openDialog("group", { chat: chat.id }) },
    who !== undefined && { label: t("chat.safety"), icon: "shield", run: () => openDialog("safety", { who }) },
    { label: t("chat.timer"), icon: "timer", run: () => openDialog("timer", { chat: chat.id }) },
    {
      label: t(chat.pinned ? "chat.unpin" : "chat.pin"),
      icon: "pin",
      run: () => call(chat, "chats.pin", { pinned: !chat.pinned }),
    },
    {
      label: t(muted ? "chat.unmute" : "chat.mute"),
      icon: muted ? "bell" : "mute",
      run: () => call(chat, "chats.mute", muted ? { until_ms: 0 } : {}),
    },
    chat.unread === 0 && !chat.marked_unread && {
      label: t("chat.mark_unread"),
      icon: "inbox",
      run: () => {
        if (openChat.value === chat.id) showChat(null);
        call(chat, "chats.mark_unread", {});
      },
    },
    {
      label: t(chat.archived ? "chat.unarchive" : "chat.archive"),
      icon: "archive",
      run: () => call(chat, "chats.archive", { archived: !chat.archived }),
    },
    { label: t("chat.clear"), icon: "trash", danger: true, run: () => openDialog("clear", { chat: chat.id }) },
  ];
  return items.filter((item) => item !== false && item !== undefined);
}

/** Deletes all messages of a chat on the devices of this account. */
export async function clearChat(chat: string): Promise<void> {
  await rpc("chats.clear", { chat, idempotency_key: onceKey() });
  forgetThreads(chat);
  patchChat(chat, { last: null, unread: 0 });
}

function call(chat: ChatRow, method: string, params: object): void {
  rpc<ChatRow>(method, { chat: chat.id, ...params, idempotency_key: onceKey() }).then(putChat, report);
}
