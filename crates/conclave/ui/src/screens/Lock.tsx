// The lock screen: asks for the passphrase.
import { useSignal } from "@preact/signals";
import { ApiError } from "../api/rpc";
import { unlock } from "../api/session";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { start } from "../state/start";
import { t } from "../text/index";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { useTask } from "./task";

/** Asks for the passphrase of the profile, then goes on where the page was. */
export function Lock() {
  const passphrase = useSignal("");
  const task = useTask();
  const submit = (event: Event) => {
    event.preventDefault();
    const words = passphrase.value;
    if (!words) return;
    void task.run(async () => {
      try {
        if (!(await unlock(words))) throw new ApiError("WRONG_PASSPHRASE", "");
      } finally {
        passphrase.value = "";
      }
      await start();
    });
  };
  return (
    <main class="setup">
      <form class="setup-card setup-form" onSubmit={submit} novalidate>
        <h1>{t("lock.title")}</h1>
        <p>{t("lock.text")}</p>
        <Field
          label={t("lock.passphrase")}
          {...bind(passphrase)}
          name="passphrase"
          type="password"
          autocomplete="current-password"
          autofocus
        />
        <Problem of={task.problem} />
        <div class="row-end">
          <Button disabled={task.busy.value} kind="primary" type="submit">
            {t("lock.open")}
          </Button>
        </div>
      </form>
    </main>
  );
}
