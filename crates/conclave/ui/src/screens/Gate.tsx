// What is shown when there is no session: why, and what to do.
import { gate } from "../api/session";
import { Button } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { start } from "../state/start";
import { t } from "../text/index";

/** A quiet page with one message. */
export function Gate() {
  const now = gate.value;
  if (now === "starting") return <main class="gate" aria-busy="true"><p role="status">{t("app.loading")}</p></main>;
  const kind = now === "ended" || now === "paused" ? now : "unreachable";
  return (
    <main class="gate">
      <Icon name="plug" />
      <h1>{t(`gate.${kind}.title`)}</h1>
      <p>{t(`gate.${kind}.text`)}</p>
      {kind === "ended" ? (
        <code class="command">{t("gate.ended.command")}</code>
      ) : (
        <Button kind="primary" onClick={() => void start()}>{t("gate.retry")}</Button>
      )}
    </main>
  );
}
