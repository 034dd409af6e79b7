// Asks before all messages of a chat go.
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { chats } from "../state/chats";
import { closeDialog } from "../state/dialogs";
import { report } from "../state/notices";
import { t } from "../text/index";
import { clearChat } from "./chatMenu";
import { chatName } from "./names";

/** The question. */
export function Clear({ chat }: { chat: string }) {
  const row = chats.value.find((one) => one.id === chat);
  const close = () => closeDialog("clear");
  const go = () => {
    close();
    clearChat(chat).catch(report);
  };
  return (
    <Dialog
      title={t("chat.clear")}
      role="alertdialog"
      size="small"
      onClose={close}
      footer={
        <>
          <Button onClick={close}>{t("action.cancel")}</Button>
          <Button kind="danger" onClick={go}>{t("chat.clear_do")}</Button>
        </>
      }
    >
      <p>{t("chat.clear_text", { name: row ? chatName(row) : "" })}</p>
    </Dialog>
  );
}
