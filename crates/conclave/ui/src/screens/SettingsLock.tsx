// The app lock: locks now, and sets the passphrase that a lock needs.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { AccountStateRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { lockNow } from "../state/lock";
import { notify } from "../state/notices";
import { t } from "../text/index";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

/** The part of the settings. */
export function LockPart() {
  const loaded = useLoad(() => rpc<AccountStateRow>("account.state"), "");
  const isOpen = useSignal(false);
  const task = useTask();
  const hasPassphrase = loaded.data.value?.unlock === "passphrase";
  return (
    <section class="settings-part">
      <h3>{t("settings.lock")}</h3>
      <p class="soft-note">{t(hasPassphrase ? "settings.lock_text" : "settings.lock_none")}</p>
      <Problem of={loaded.problem} />
      <Problem of={task.problem} />
      <div class="row">
        {hasPassphrase && (
          <Button icon="lock" disabled={task.busy.value} onClick={() => void task.run(lockNow)}>
            {t("settings.lock_now")}
          </Button>
        )}
        <Button aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.value)}>
          {t(hasPassphrase ? "settings.pass_change" : "settings.pass_set")}
        </Button>
      </div>
      {isOpen.value && (
        <Passphrase
          hasOld={hasPassphrase}
          onDone={() => {
            isOpen.value = false;
            void loaded.reload();
          }}
        />
      )}
    </section>
  );
}

function Passphrase({ hasOld, onDone }: { hasOld: boolean; onDone: () => void }) {
  const [old, first, again] = [useSignal(""), useSignal(""), useSignal("")];
  const task = useTask();
  const isSame = first.value === again.value;
  const isReady = first.value !== "" && isSame && (!hasOld || old.value !== "");
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isReady) return;
    void task.run(async () => {
      await rpc("account.passphrase", { old: old.value, new: first.value });
      notify({ kind: "done", text: t("settings.pass_done") });
      onDone();
    });
  };
  return (
    <form class="box stack" onSubmit={submit} novalidate>
      {hasOld && (
        <Field
          label={t("settings.pass_old")}
          {...bind(old)}
          type="password"
          autocomplete="current-password"
        />
      )}
      <Field
        label={t("settings.pass_new")}
        hint={t("settings.pass_note")}
        {...bind(first)}
        type="password"
        autocomplete="new-password"
      />
      <Field
        label={t("settings.pass_again")}
        error={again.value && !isSame ? t("settings.pass_differ") : ""}
        {...bind(again)}
        type="password"
        autocomplete="new-password"
      />
      <Problem of={task.problem} />
      <div class="row-end">
        <Button kind="primary" type="submit" disabled={!isReady || task.busy.value}>
          {t(hasOld ? "settings.pass_change" : "settings.pass_set")}
        </Button>
      </div>
    </form>
  );
}
