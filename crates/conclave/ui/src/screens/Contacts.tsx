// The people one knows: their names, how far each is trusted, whom one takes nothing from.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { ContactRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { contacts, loadContacts } from "../state/contacts";
import { closeDialogs, openDialog } from "../state/dialogs";
import { openChatWith } from "../state/open";
import { t } from "../text/index";
import { dayName } from "../text/time";
import { bind } from "./bind";
import { matches } from "./NewChat";
import { PersonLine } from "./PersonLine";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

/** The dialog. */
export function Contacts({ onClose }: { onClose: () => void }) {
  const words = useSignal("");
  const loaded = useLoad(loadContacts, "");
  const shown = contacts.value.filter((one) => matches(one, words.value));
  return (
    <Dialog title={t("contacts.title")} onClose={onClose}>
      <Field label={t("contacts.find")} {...bind(words)} name="find" role="searchbox" autofocus />
      <Problem of={loaded.problem} />
      {shown.length === 0 && <p class="empty">{t("contacts.none")}</p>}
      <ul class="people">
        {shown.map((row) => (
          <Contact key={row.account} row={row} />
        ))}
      </ul>
    </Dialog>
  );
}

function Contact({ row }: { row: ContactRow }) {
  const isOpen = useSignal(false);
  const name = useSignal(row.name);
  const task = useTask();
  const call = (method: string, words: object) =>
    task.run(async () => {
      // People of groups may have no known identifier.
      await rpc(method, { who: row.identifier || row.account, ...words });
      await loadContacts();
    });
  const write = () =>
    task.run(async () => {
      closeDialogs();
      // Somebody of a group may be no more than a name yet: the first words begin the chat.
      if (!(await openChatWith(row.account, ""))) openDialog("newChat", { who: row.identifier });
    });
  const notes = [
    row.blocked ? t("contacts.blocked") : "",
    row.confirmed ? "" : t("trust.unconfirmed"),
    row.rotated_ms ? t("contacts.rotated", { when: dayName(row.rotated_ms) }) : "",
  ];
  return (
    <li>
      <PersonLine
        person={row}
        trust={row.trust}
        note={notes.filter(Boolean).join(" · ")}
        onClick={() => (isOpen.value = !isOpen.value)}
        expanded={isOpen.value}
      />
      {isOpen.value && (
        <div class="box stack">
          <form
            class="field-row"
            onSubmit={(event) => {
              event.preventDefault();
              void call("contacts.rename", { name: name.value.trim() });
            }}
          >
            <Field
              label={t("contacts.name")}
              hint={t("contacts.name_hint")}
              {...bind(name)}
              name="name"
            />
            <Button disabled={task.busy.value} type="submit">
              {t("action.save")}
            </Button>
          </form>
          <Problem of={task.problem} />
          <div class="row-end">
            <Button
              kind="danger"
              disabled={task.busy.value}
              onClick={() => void call(row.blocked ? "contacts.unblock" : "contacts.block", {})}
            >
              {t(row.blocked ? "contacts.unblock" : "contacts.block")}
            </Button>
            <Button onClick={() => openDialog("safety", { who: row.account })}>
              {t("safety.title")}
            </Button>
            <Button kind="primary" disabled={row.blocked} onClick={() => void write()}>
              {t("contacts.write")}
            </Button>
          </div>
        </div>
      )}
    </li>
  );
}
