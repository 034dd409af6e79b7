// The two panes: chats at the side, the open chat beside them; one at a time on narrow screens.
import { ChatList } from "../chat/ChatList";
import { ChatView } from "../chat/ChatView";
import { openChat } from "../state/chats";
import { t } from "../text/index";

/** Chats and conversation. */
export function Main() {
  const isOpen = openChat.value !== null;
  return (
    <div class={`panes ${isOpen ? "panes-chat" : "panes-list"}`}>
      <a class="skip" href="#conversation">{t("app.skip")}</a>
      <ChatList />
      <ChatView />
    </div>
  );
}
