// What can be done with the selected messages; it stands where one writes.
import type { ChatRow, MessageRow } from "../api/rows";
import { Button, IconButton } from "../parts/Button";
import { openDialog } from "../state/dialogs";
import { thread } from "../state/threads";
import { t } from "../text/index";
import { copy } from "./messageMenu";
import { deleting, selected } from "./view";

/** The bar of the selection. */
export function SelectBar({ chat }: { chat: ChatRow }) {
  const rows = (): MessageRow[] => thread(chat.id).value.messages.filter((row) => selected.value?.has(row.id));
  const done = () => (selected.value = null);
  return (
    <div class="select-bar" role="toolbar" aria-label={t("select.title")} onKeyDown={(event) => event.key === "Escape" && done()}>
      <IconButton icon="close" label={t("select.end")} onClick={done} />
      <span class="grow" role="status">{t("select.count", { n: selected.value?.size ?? 0 })}</span>
      <Button icon="copy" onClick={() => (copy(rows()), done())}>{t("message.copy")}</Button>
      <Button
        icon="forward"
        onClick={() => {
          openDialog("forward", { messages: rows().map((row) => row.id) });
          done();
        }}
      >
        {t("message.forward")}
      </Button>
      <Button icon="trash" kind="danger" onClick={() => (deleting.value = rows())}>{t("action.delete")}</Button>
    </div>
  );
}
