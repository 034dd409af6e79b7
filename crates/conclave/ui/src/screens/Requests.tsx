// Strangers who wrote first: until they are accepted they learn nothing, and nothing is loaded.
import { rpc } from "../api/rpc";
import type { RequestRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { loadChats, requests, showChat } from "../state/chats";
import { safeName, safeText } from "../text/safe";
import { closeDialogs } from "../state/dialogs";
import { t } from "../text/index";
import { dayName } from "../text/time";
import { personName } from "../chat/names";
import { PersonLine } from "./PersonLine";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

/** The dialog. */
export function Requests({ onClose }: { onClose: () => void }) {
  const loaded = useLoad(loadChats, "");
  return (
    <Dialog title={t("requests.title")} onClose={onClose}>
      <p class="soft-note">{t("requests.text")}</p>
      <Problem of={loaded.problem} />
      {requests.value.length === 0 && <p class="empty">{t("requests.none")}</p>}
      <ul class="boxes">
        {requests.value.map((row) => (
          <Request key={row.chat} row={row} />
        ))}
      </ul>
    </Dialog>
  );
}

function Request({ row }: { row: RequestRow }) {
  const task = useTask();
  const who = personName(row.from);
  const accept = () =>
    task.run(async () => {
      await rpc("requests.accept", { chat: row.chat });
      await loadChats();
      closeDialogs();
      showChat(row.chat);
    });
  const decline = (isBlocked: boolean) =>
    task.run(async () => {
      if (isBlocked) await rpc("contacts.block", { who: row.from.identifier || row.from.account });
      await rpc("requests.decline", { chat: row.chat });
      await loadChats();
    });
  return (
    <li class="box" aria-label={t("requests.from", { who })}>
      <PersonLine person={row.from} note={dayName(row.ts_ms)} />
      {!row.confirmed && <p class="warn">{t("requests.unconfirmed")}</p>}
      {row.group == null ? (
        <blockquote class="words" dir="auto">
          {safeText(row.text)}
        </blockquote>
      ) : (
        <p>{t("requests.group", { name: safeName(row.group) })}</p>
      )}
      <Problem of={task.problem} />
      <div class="row-end">
        <Button kind="danger" disabled={task.busy.value} onClick={() => void decline(true)}>
          {t("requests.block")}
        </Button>
        <Button disabled={task.busy.value} onClick={() => void decline(false)}>
          {t("requests.decline")}
        </Button>
        <Button disabled={task.busy.value} kind="primary" onClick={() => void accept()}>
          {t("requests.accept")}
        </Button>
      </div>
    </li>
  );
}
