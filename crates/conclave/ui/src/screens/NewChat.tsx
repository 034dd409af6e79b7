// Begins a chat with somebody: by number or address, or from the people one knows.
import { useSignal } from "@preact/signals";
import type { ContactRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { contacts, loadContacts } from "../state/contacts";
import { closeDialogs, openDialog } from "../state/dialogs";
import { identifierOf } from "../state/identifier";
import { chatWith, openChatWith } from "../state/open";
import { t } from "../text/index";
import { bind } from "./bind";
import { PersonLine } from "./PersonLine";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

/** Whether `contact` is one that `words` may mean. */
export function matches(contact: ContactRow, words: string): boolean {
  const wanted = words.trim().toLocaleLowerCase();
  return [contact.name, contact.identifier].some((text) =>
    text.toLocaleLowerCase().includes(wanted),
  );
}

/** The dialog. */
export function NewChat({ who = "", onClose }: { who?: string; onClose: () => void }) {
  const typed = useSignal(who);
  const words = useSignal("");
  const tried = useSignal(false);
  const task = useTask();
  const loaded = useLoad(loadContacts, "");
  const known = contacts.value.filter((one) => !one.blocked && matches(one, typed.value));
  const identifier = identifierOf(typed.value);
  const go = (to: string, first: string) =>
    task.run(async () => {
      if (await openChatWith(to, first)) closeDialogs();
    });
  const first = words.value.trim();
  const hasChat = identifier !== null && chatWith(identifier) !== undefined;
  const submit = (event: Event) => {
    event.preventDefault();
    tried.value = true;
    if (identifier && (hasChat || first)) void go(identifier, first);
    // What is missing has the words that say so, and the focus.
    else (event.currentTarget as HTMLFormElement).querySelector<HTMLInputElement>(identifier ? "[name=first]" : "[name=who]")?.focus();
  };
  const pick = (one: ContactRow) => {
    if (chatWith(one.account)) void go(one.account, "");
    else typed.value = one.identifier;
  };
  return (
    <Dialog title={t("newchat.title")} onClose={onClose}>
      <form class="stack" onSubmit={submit} novalidate>
        <Field
          label={t("newchat.who")}
          hint={t("newchat.who_hint")}
          error={tried.value && !identifier ? t("setup.identifier_wrong") : ""}
          {...bind(typed)}
          name="who"
          autofocus
        />
        {identifier && !hasChat && (
          <Field
            label={t("newchat.first")}
            hint={t("newchat.first_hint")}
            error={tried.value && !first ? t("newchat.first_missing") : ""}
            {...bind(words)}
            name="first"
          />
        )}
        <Problem of={task.problem} />
        <Problem of={loaded.problem} />
        <div class="row-end">
          <Button kind="quiet" onClick={() => openDialog("newGroup", {})}>
            {t("newchat.group")}
          </Button>
          <Button kind="quiet" onClick={() => openDialog("address", {})}>
            {t("newchat.own_address")}
          </Button>
          <Button
            kind="primary"
            type="submit"
            disabled={task.busy.value}
          >
            {hasChat ? t("newchat.open") : t("newchat.send")}
          </Button>
        </div>
      </form>
      {known.length > 0 && (
        <>
          <h2 class="part-title">{t("newchat.known")}</h2>
          <ul class="people">
            {known.map((one) => (
              <li key={one.account}>
                <PersonLine person={one} trust={one.trust} onClick={() => pick(one)} />
              </li>
            ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}
