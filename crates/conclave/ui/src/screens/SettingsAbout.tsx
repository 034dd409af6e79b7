// What this program is, and whether all is well with it.
import { rpc } from "../api/rpc";
import type { FindingRow, StatusRow } from "../api/rows";
import { Button } from "../parts/Button";
import { openDialog } from "../state/dialogs";
import { me } from "../state/me";
import { t } from "../text/index";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";
import { useSignal } from "@preact/signals";

/** The part of the settings. */
export function About() {
  const status = useLoad(() => rpc<StatusRow>("status"), "");
  const findings = useSignal<FindingRow[]>([]);
  const task = useTask();
  const look = () =>
    task.run(async () => {
      findings.value = (await rpc<{ findings: FindingRow[] }>("doctor")).findings;
    });
  return (
    <section class="settings-part">
      <h3>{t("settings.about")}</h3>
      <p>
        <bdi>{me.value?.identifier}</bdi>
      </p>
      {status.data.value && (
        <p class="soft-note">
          {t("app.name")} · {t("settings.version", { version: status.data.value.version })}
        </p>
      )}
      {status.data.value?.warnings.map((words) => (
        <p class="warn" key={words} dir="auto">
          {words}
        </p>
      ))}
      <div class="row">
        <Button disabled={task.busy.value} onClick={() => void look()}>
          {t("settings.doctor")}
        </Button>
        <Button kind="quiet" onClick={() => openDialog("shortcuts", {})}>
          {t("settings.keys")}
        </Button>
      </div>
      <Problem of={task.problem} />
      <ul class="findings" role="list" aria-live="polite">
        {findings.value.map((one) => (
          <li key={one.check}>
            <span class={one.ok ? "tag good" : "tag bad"}>
              {t(one.ok ? "settings.doctor_ok" : "settings.doctor_bad")}
            </span>
            <span dir="auto">{one.text}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
