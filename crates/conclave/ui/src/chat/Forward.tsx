// Sends messages on to another chat.
import { useState } from "preact/hooks";
import { onceKey, rpc } from "../api/rpc";
import type { MessageRow } from "../api/rows";
import { Avatar } from "../parts/Avatar";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { ArrowList } from "../parts/List";
import { listed, showChat } from "../state/chats";
import { closeDialog } from "../state/dialogs";
import { notify, report } from "../state/notices";
import { putMessage } from "../state/threads";
import { t } from "../text/index";
import { chatName } from "./names";

/** A list of chats to choose from. */
export function Forward({ messages }: { messages: string[] }) {
  const [words, setWords] = useState("");
  const close = () => closeDialog("forward");
  const wanted = words.trim().toLocaleLowerCase();
  const open = [...listed.value.active, ...listed.value.archived].filter((chat) => chat.state === "open");
  const fitting = open.filter((chat) => chatName(chat).toLocaleLowerCase().includes(wanted)).slice(0, 100);
  return (
    <Dialog title={t("forward.title", { n: messages.length })} onClose={close}>
      <Field label={t("forward.find")} value={words} onText={setWords} autofocus />
      <ArrowList label={t("forward.chats")} class="forward-list">
        {fitting.map((chat) => (
          <li key={chat.id}>
            <button
              type="button"
              data-row
              class="chat-line"
              onClick={() => {
                close();
                forward(messages, chat.id, chatName(chat)).catch(report);
              }}
            >
              <Avatar id={chat.with?.account ?? chat.id} name={chatName(chat)} size="small" />
              <bdi class="ellipsis">{chatName(chat)}</bdi>
            </button>
          </li>
        ))}
      </ArrowList>
    </Dialog>
  );
}

async function forward(messages: string[], chat: string, name: string): Promise<void> {
  for (const id of messages) {
    putMessage(await rpc<MessageRow>("messages.forward", { id, to: chat, idempotency_key: onceKey() }));
  }
  notify({ kind: "done", text: t("forward.done", { name }), next: { label: t("forward.show"), run: () => showChat(chat) } });
}
