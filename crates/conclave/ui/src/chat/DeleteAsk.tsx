// Asks where messages are deleted: here, or for everyone.
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { remove } from "../state/sending";
import { t } from "../text/index";
import { OneLine } from "./Message";
import { deleting, selected } from "./view";

/** The question; nothing while there is nothing to ask. */
export function DeleteAsk() {
  const rows = deleting.value;
  if (rows.length === 0) return null;
  const close = () => (deleting.value = []);
  const go = (everyone: boolean) => {
    close();
    selected.value = null;
    void remove(rows, everyone);
  };
  const isOwn = rows.every((row) => row.own && !row.deleted_by);
  return (
    <Dialog
      title={t("delete.title", { n: rows.length })}
      role="alertdialog"
      size="small"
      onClose={close}
      footer={
        <>
          <Button onClick={close}>{t("action.cancel")}</Button>
          <Button kind="danger" onClick={() => go(false)}>{t("delete.here")}</Button>
          {isOwn && <Button kind="danger" onClick={() => go(true)}>{t("delete.everyone")}</Button>}
        </>
      }
    >
      {rows.length === 1 && rows[0] && <p class="delete-words ellipsis"><OneLine row={rows[0]} /></p>}
      <p class="soft">{t(isOwn ? "delete.text_own" : "delete.text")}</p>
    </Dialog>
  );
}
