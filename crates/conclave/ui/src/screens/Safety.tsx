// The safety number with somebody: shown, compared, marked; a changed key is accepted here alone.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { SafetyRow } from "../api/rows";
import { Ask } from "../parts/Ask";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { PickPicture } from "../parts/PickPicture";
import { QrCode } from "../parts/QrCode";
import { refreshChats } from "../state/chats";
import { loadContacts } from "../state/contacts";
import { pictureOf } from "../text/picture";
import { maybe, t } from "../text/index";
import { dayName } from "../text/time";
import { bind } from "./bind";
import { personName } from "../chat/names";
import { Problem } from "./Problem";
import { type Task, useFresh, useLoad, useTask } from "./task";

/** The dialog. `who` is an account, an identifier or a direct chat. */
export function Safety({ who, onClose }: { who: string; onClose: () => void }) {
  const loaded = useLoad(() => rpc<SafetyRow>("safety.show", { who }), who);
  const task = useTask();
  useFresh(["identity_changed", "key_rotated", "people"], loaded.reload);
  const row = loaded.data.value;
  const call = (method: string, words: object) =>
    task.run(async () => {
      loaded.data.value = await rpc<SafetyRow>(method, { who, ...words });
      await loadContacts();
      refreshChats();
    });
  const check = (words: CheckWords) =>
    void call("picture" in words ? "safety.verify_picture" : "safety.verify", words);
  return (
    <Dialog title={t("safety.title")} onClose={onClose}>
      <Problem of={loaded.problem} />
      {row && (
        <div class="safety">
          <Standing row={row} />
          {row.trust === "changed" && (
            <Accept row={row} task={task} onAccept={() => void call("safety.accept", {})} />
          )}
          <p>{t("safety.how", { who: personName(row.with) })}</p>
          <QrCode hex={row.qr} label={t("safety.qr", { who: personName(row.with) })} />
          <Digits number={row.number} />
          <Problem of={task.problem} />
          {row.trust !== "changed" && (
            <Check row={row} task={task} onCheck={check} />
          )}
        </div>
      )}
    </Dialog>
  );
}

/** How things stand, in one sentence. */
function Standing({ row }: { row: SafetyRow }) {
  const who = personName(row.with);
  const kind = row.trust === "changed" ? "warn" : row.trust === "verified" ? "well" : "soft-note";
  return (
    <>
      <p class={kind} role="status" dir="auto">
        {maybe(`safety.is_${row.trust}`, { who })}
      </p>
      {row.rotated_ms ? (
        <p class="soft-note" dir="auto">
          {t("safety.rotated", { who, when: dayName(row.rotated_ms) })}
        </p>
      ) : null}
    </>
  );
}

/** Twelve groups of five digits; read one group at a time. */
function Digits({ number }: { number: string }) {
  return (
    <ol class="safety-digits" dir="ltr" aria-label={t("safety.number")}>
      {number.split(/\s+/).map((group, place) => (
        <li key={`${place}`}>{group}</li>
      ))}
    </ol>
  );
}

interface AcceptProps {
  row: SafetyRow;
  task: Task;
  onAccept: () => void;
}

/** Whoever accepts says so twice: it is how a stranger in between would come in. */
function Accept({ row, task, onAccept }: AcceptProps) {
  const sure = useSignal(false);
  const who = personName(row.with);
  if (!sure.value) {
    return (
      <div class="row-end">
        <Button kind="danger" onClick={() => (sure.value = true)}>
          {t("safety.accept")}
        </Button>
      </div>
    );
  }
  return (
    <Ask
      label={t("safety.accept")}
      action={t("safety.accept_now")}
      busy={task.busy.value}
      onYes={onAccept}
      onNo={() => (sure.value = false)}
    >
      {t("safety.accept_sure", { who })}
    </Ask>
  );
}

/** What the own number is compared with. */
type CheckWords = { number: string } | { picture: string };

interface CheckProps {
  row: SafetyRow;
  task: Task;
  onCheck: (words: CheckWords) => void;
}

/** Three ways to compare: both look, a picture of their code, their digits. */
function Check({ row, task, onCheck }: CheckProps) {
  const theirs = useSignal("");
  const digits = theirs.value.replace(/\D/g, "");
  const picture = (file: File) =>
    task.run(async () => {
      const base64 = await pictureOf(file, 2000);
      // The next task starts when this one is over.
      setTimeout(() => onCheck({ picture: base64 }), 0);
    });
  return (
    <section class="stack">
      <h2 class="part-title">{t("safety.check")}</h2>
      <div class="row">
        <Button
          kind="primary"
          disabled={task.busy.value}
          onClick={() => onCheck({ number: row.number })}
        >
          {t("safety.same")}
        </Button>
        <PickPicture
          label={t("safety.picture")}
          busy={task.busy.value}
          onPick={(file) => void picture(file)}
        />
      </div>
      <form
        class="field-row"
        onSubmit={(event) => {
          event.preventDefault();
          if (digits.length === 60) onCheck({ number: digits });
        }}
      >
        <Field
          label={t("safety.paste")}
          hint={t("safety.paste_hint", { n: digits.length })}
          {...bind(theirs)}
          name="number"
          dir="ltr"
        />
        <Button type="submit" disabled={task.busy.value || digits.length !== 60}>
          {t("safety.compare")}
        </Button>
      </form>
    </section>
  );
}
