// Makes a group, or comes into one by its link.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { GroupRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { contacts, loadContacts } from "../state/contacts";
import { closeDialogs, openDialog } from "../state/dialogs";
import { showChat } from "../state/chats";
import { t } from "../text/index";
import { bind } from "./bind";
import { PeoplePicker } from "./PeoplePicker";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

/** The dialog that makes one. */
export function NewGroup({ onClose }: { onClose: () => void }) {
  const name = useSignal("");
  const picked = useSignal<string[]>([]);
  const tried = useSignal(false);
  const task = useTask();
  useLoad(loadContacts, "");
  const submit = (event: Event) => {
    event.preventDefault();
    tried.value = true;
    const words = { name: name.value.trim(), who: picked.value };
    if (!words.name) return (event.currentTarget as HTMLFormElement).querySelector<HTMLInputElement>("[name=name]")?.focus();
    void task.run(async () => {
      const group = await rpc<GroupRow>("groups.create", words);
      closeDialogs();
      showChat(group.id);
    });
  };
  return (
    <Dialog title={t("newgroup.title")} onClose={onClose}>
      <form class="stack" onSubmit={submit} novalidate>
        <Field
          label={t("newgroup.name")}
          error={tried.value && !name.value.trim() ? t("newgroup.name_missing") : ""}
          {...bind(name)}
          name="name"
          autofocus
        />
        <PeoplePicker contacts={contacts.value} picked={picked} />
        <p class="soft-note">{t("newgroup.note")}</p>
        <Problem of={task.problem} />
        <div class="row-end">
          <Button kind="quiet" onClick={() => openDialog("join", {})}>
            {t("newgroup.by_link")}
          </Button>
          <Button
            kind="primary"
            type="submit"
            disabled={task.busy.value}
          >
            {t("newgroup.make")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The dialog that comes into one. */
export function JoinGroup({ link: given = "", onClose }: { link?: string; onClose: () => void }) {
  const link = useSignal(given);
  const task = useTask();
  const words = link.value.trim();
  const submit = (event: Event) => {
    event.preventDefault();
    if (!words) return;
    void task.run(async () => {
      const group = await rpc<GroupRow>("groups.join", { link: words });
      closeDialogs();
      showChat(group.id);
    });
  };
  return (
    <Dialog title={t("join.title")} onClose={onClose}>
      <form class="stack" onSubmit={submit} novalidate>
        <p>{t("join.text")}</p>
        <Field
          label={t("join.link")}
          hint={t("join.hint")}
          {...bind(link)}
          name="link"
          dir="ltr"
          autofocus
        />
        <Problem of={task.problem} />
        <div class="row-end">
          <Button kind="primary" type="submit" disabled={task.busy.value || !words}>
            {t("join.ask")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
