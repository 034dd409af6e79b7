// The pinned messages of a chat: the newest is shown, a press goes to it, and on to the next.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { rpc } from "../api/rpc";
import type { ChatRow, MessageRow } from "../api/rows";
import { Icon } from "../parts/Icon";
import { watch } from "../state/live";
import { thread } from "../state/threads";
import { t } from "../text/index";
import { OneLine } from "./Message";
import { jumpTo } from "./view";

/** A bar below the head; nothing when nothing is pinned. */
export function PinnedBar({ chat }: { chat: ChatRow }) {
  const pins = useSignal<MessageRow[]>([]);
  const at = useSignal(0);
  const loaded = thread(chat.id).value.messages.filter((row) => row.pinned).length;
  useEffect(() => {
    const load = () => rpc<{ messages: MessageRow[] }>("messages.pins", { chat: chat.id }).then(({ messages }) => (pins.value = messages), () => undefined);
    void load();
    return watch((event) => {
      if (event.type === "changed" && "message" in event && typeof event.message === "object" && event.message.chat === chat.id) void load();
    });
  }, [chat.id, loaded]);
  const shown = pins.value.at(-1 - (at.value % Math.max(1, pins.value.length)));
  if (!shown) return null;
  return (
    <button
      type="button"
      class="pinned"
      onClick={() => {
        at.value += 1;
        void jumpTo(chat.id, shown.id);
      }}
    >
      <Icon name="pin" />
      <span class="pinned-words">
        <strong>{t("chat.pinned", { n: pins.value.length })}</strong>
        <OneLine row={shown} />
      </span>
    </button>
  );
}
