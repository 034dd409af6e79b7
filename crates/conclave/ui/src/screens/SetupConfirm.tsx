// The code that came by message or mail: typed or pasted, sent again, counted down.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { countText } from "../text/count";
import { t } from "../text/index";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { askForCode, type RegisterWords } from "./SetupRegister";
import { useCountdown, useTask } from "./task";

/** A code is on its way. */
export interface Asked {
  /** To whom. */
  identifier: string;
  /** What asks for another one; null when this page did not ask. */
  again: RegisterWords | null;
  /** When another one may be asked for, ms since 1970. */
  resendMs: number;
  /** Until when it is good, ms since 1970; 0: not known. */
  validMs: number;
}

/** The form for the code. */
export function Confirm(props: { asked: Asked; onBack: () => void; onDone: () => Promise<void> }) {
  const asked = useSignal(props.asked);
  const code = useSignal("");
  const again = useSignal(false);
  const task = useTask();
  const submit = (event: Event) => {
    event.preventDefault();
    const words = code.value.trim();
    if (!words) return;
    void task.run(async () => {
      await rpc("account.confirm", { code: words });
      await props.onDone();
    });
  };
  const resend = (words: RegisterWords) =>
    task.run(async () => {
      asked.value = await askForCode(words);
      again.value = true;
      code.value = "";
    });
  return (
    <form class="setup-form" onSubmit={submit} novalidate>
      <h1>{t("setup.code_title")}</h1>
      <p>
        {t("setup.code_sent", { who: asked.value.identifier })}
      </p>
      <Field
        label={t("setup.code")}
        hint={t("setup.code_hint")}
        {...bind(code)}
        name="code"
        autocomplete="one-time-code"
        dir="ltr"
        class="code-field"
        autofocus
      />
      <Problem of={task.problem} />
      <Times asked={asked.value} wasAgain={again.value} busy={task.busy.value} onResend={resend} />
      <div class="row-end">
        <Button kind="quiet" onClick={props.onBack}>
          {t("action.back")}
        </Button>
        <Button kind="primary" type="submit" disabled={task.busy.value || !code.value.trim()}>
          {t("setup.confirm")}
        </Button>
      </div>
    </form>
  );
}

interface TimesProps {
  asked: Asked;
  wasAgain: boolean;
  busy: boolean;
  onResend: (words: RegisterWords) => void;
}

/** How long the code is good, and when another one can be had. */
function Times({ asked, wasAgain, busy, onResend }: TimesProps) {
  const resendIn = useCountdown(asked.resendMs);
  const validFor = useCountdown(asked.validMs);
  const words = asked.again;
  return (
    <div class="code-times">
      {wasAgain && <p role="status">{t("setup.code_again")}</p>}
      {asked.validMs > 0 && (
        <p class="soft-note">
          {validFor.value > 0
            ? t("setup.code_valid", { time: countText(validFor.value) })
            : t("setup.code_over")}
        </p>
      )}
      {words && (
        <Button
          kind="quiet"
          disabled={resendIn.value > 0 || busy}
          onClick={() => onResend(words)}
        >
          {resendIn.value > 0
            ? t("setup.resend_in", { time: countText(resendIn.value) })
            : t("setup.resend")}
        </Button>
      )}
    </div>
  );
}
