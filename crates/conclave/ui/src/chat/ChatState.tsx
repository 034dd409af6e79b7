// Why nothing can be written to a chat, and what to do about it.
import type { ChatRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { openDialog } from "../state/dialogs";
import { maybe, t } from "../text/index";
import { chatName } from "./names";

/** A bar in place of the composer. */
export function ChatState({ chat }: { chat: ChatRow }) {
  const who = chat.with?.account;
  const words = maybe(`chat.state.${chat.state}`, { name: chatName(chat) }) ?? t("chat.state.other");
  return (
    <div class={`chat-state chat-state-${chat.state}`} role={chat.state === "paused" ? "alert" : "status"}>
      <Icon name={chat.state === "paused" ? "alert" : "info"} />
      <p class="grow">{words}</p>
      {chat.state === "paused" && who !== undefined && (
        <Button kind="primary" onClick={() => openDialog("safety", { who })}>{t("chat.compare")}</Button>
      )}
      {chat.state === "request" && <Button kind="primary" onClick={() => openDialog("requests", {})}>{t("chats.requests")}</Button>}
    </div>
  );
}
