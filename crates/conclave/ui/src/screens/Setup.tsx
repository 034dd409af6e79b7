// First steps: a new account, or this device as one more of an account.
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { rpc } from "../api/rpc";
import type { AccountStateRow } from "../api/rows";
import { Button } from "../parts/Button";
import { FIRST } from "../parts/focus";
import { loadMe, me } from "../state/me";
import { openDialog } from "../state/dialogs";
import { enter } from "../state/start";
import { t } from "../text/index";
import { Confirm, type Asked } from "./SetupConfirm";
import { LinkThis } from "./SetupLink";
import { Register } from "./SetupRegister";

type Step = "welcome" | "register" | "code" | "link" | "ready";


/** Everything before the first chat. */
export function Setup() {
  const card = useRef<HTMLDivElement>(null);
  const step = useSignal<Step>("welcome");
  const asked = useSignal<Asked | null>(null);
  useEffect(() => {
    // A page that was loaded again goes on where it was.
    void rpc<AccountStateRow>("account.state", {}).then(
      (now) => {
        if (now.state === "linking") step.value = "link";
        if (now.state !== "code_sent" || !now.identifier) return;
        asked.value = { identifier: now.identifier, again: null, resendMs: 0, validMs: 0 };
        step.value = "code";
      },
      () => undefined,
    );
  }, []);
  useEffect(() => {
    // A step without a place to write begins with its heading.
    card.current?.querySelector<HTMLElement>(`[${FIRST}], h1`)?.focus();
  }, [step.value]);
  const done = async () => {
    await loadMe();
    step.value = "ready";
  };
  return (
    <main class="setup">
      <div class="setup-card" ref={card}>
        <StepView step={step} asked={asked} done={done} onReady={() => void enter()} />
      </div>
    </main>
  );
}

interface StepProps {
  step: Signal<Step>;
  asked: Signal<Asked | null>;
  done: () => Promise<void>;
  onReady: () => void;
}

function StepView({ step, asked, done, onReady }: StepProps) {
  const welcome = () => {
    step.value = "welcome";
  };
  switch (step.value) {
    case "register":
      return (
        <Register
          onBack={welcome}
          onAsked={(sent) => {
            asked.value = sent;
            step.value = "code";
          }}
        />
      );
    case "code":
      return asked.value && <Confirm asked={asked.value} onBack={welcome} onDone={done} />;
    case "link":
      return <LinkThis onBack={welcome} onDone={done} />;
    case "ready":
      return <Ready onReady={onReady} />;
    default:
      return <Welcome step={step} />;
  }
}

function Welcome({ step }: { step: Signal<Step> }) {
  return (
    <>
      <h1 class="setup-name">{t("app.name")}</h1>
      <p class="setup-lead">{t("setup.lead")}</p>
      <div class="setup-choices">
        <Button kind="primary" class="wide" autofocus onClick={() => (step.value = "register")}>
          {t("setup.register")}
        </Button>
        <Button class="wide" onClick={() => (step.value = "link")}>
          {t("setup.link")}
        </Button>
      </div>
      <p class="soft-note">{t("setup.keys_note")}</p>
    </>
  );
}

function Ready({ onReady }: { onReady: () => void }) {
  const go = (dialog: "newChat" | "address" | null) => {
    onReady();
    if (dialog) openDialog(dialog, {});
  };
  return (
    <>
      <h1>{t("setup.ready_title")}</h1>
      <p class="setup-lead">
        {t("setup.ready_text", { who: me.value?.identifier ?? "" })}
      </p>
      <div class="setup-choices">
        <Button kind="primary" class="wide" autofocus onClick={() => go("newChat")}>
          {t("setup.ready_write")}
        </Button>
        <Button class="wide" onClick={() => go("address")}>
          {t("setup.ready_address")}
        </Button>
        <Button class="wide" kind="quiet" onClick={() => go(null)}>
          {t("setup.ready_go")}
        </Button>
      </div>
    </>
  );
}
