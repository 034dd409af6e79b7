// Makes this device one more of an account: shows what the other device reads, and waits for it.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, rpc } from "../api/rpc";
import type { AccountStateRow, LinkRow } from "../api/rows";
import { Button } from "../parts/Button";
import { CopyText } from "../parts/CopyText";
import { Field } from "../parts/Field";
import { QrCode } from "../parts/QrCode";
import { t } from "../text/index";
import { countText } from "../text/count";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { asProblem, useCountdown, useTask } from "./task";


/** One wait for the other device; asked again until the link is over. */
const WAIT_MS = 25_000;

/** The form, then the code. */
export function LinkThis(props: { onBack: () => void; onDone: () => Promise<void> }) {
  const offer = useSignal<(LinkRow & { until: number }) | null>(null);
  const server = useSignal("");
  const name = useSignal("");
  const task = useTask();
  useEffect(() => {
    // A page that was loaded again shows the link that is good still.
    void rpc<AccountStateRow>("account.state").then(
      ({ state, link, server: address }) => {
        server.value ||= address ?? "";
        if (state === "linking" && link) offer.value = { ...link, until: Date.now() + link.valid_ms };
      },
      () => undefined,
    );
  }, []);
  const start = () =>
    task.run(async () => {
      const words = { server: server.value.trim(), name: name.value.trim() };
      const shown = await rpc<LinkRow>("account.link", words);
      offer.value = { ...shown, until: Date.now() + shown.valid_ms };
    });
  if (offer.value) {
    const again = () => void start();
    return (
      <Waiting
        key={offer.value.uri}
        offer={offer.value}
        onAgain={again}
        onBack={props.onBack}
        onDone={props.onDone}
      />
    );
  }
  const submit = (event: Event) => {
    event.preventDefault();
    if (server.value.trim()) void start();
  };
  return (
    <form class="setup-form" onSubmit={submit} novalidate>
      <h1>{t("setup.link_title")}</h1>
      <p>{t("setup.link_text")}</p>
      <Field
        label={t("setup.server")}
        hint={t("setup.link_server_hint")}
        {...bind(server)}
        name="server"
        dir="ltr"
        autofocus
      />
      <Field
        label={t("setup.device_name")}
        hint={t("setup.device_name_hint")}
        {...bind(name)}
        optional
        name="device"
      />
      <Problem of={task.problem} />
      <div class="row-end">
        <Button kind="quiet" onClick={props.onBack}>
          {t("action.back")}
        </Button>
        <Button
          kind="primary"
          type="submit"
          disabled={task.busy.value || !server.value.trim()}
        >
          {t("setup.link_show")}
        </Button>
      </div>
    </form>
  );
}

interface WaitingProps {
  offer: LinkRow & { until: number };
  onAgain: () => void;
  onBack: () => void;
  onDone: () => Promise<void>;
}

function Waiting({ offer, onAgain, onBack, onDone }: WaitingProps) {
  const left = useCountdown(offer.until);
  const problem = useSignal<ApiError | null>(null);
  useEffect(() => {
    let isHere = true;
    const wait = async () => {
      while (isHere && Date.now() < offer.until) {
        try {
          await rpc("account.join", { timeout_ms: WAIT_MS });
          if (isHere) await onDone();
          return;
        } catch (thrown) {
          const failed = asProblem(thrown);
          if (failed.code === "TIMED_OUT") continue;
          if (isHere) problem.value = failed;
          return;
        }
      }
    };
    void wait();
    return () => {
      isHere = false;
    };
  }, []);
  const isOver = left.value === 0 || problem.value !== null;
  return (
    <div class="setup-form">
      <h1>{t("setup.link_title")}</h1>
      <ol class="steps">
        <li>{t("setup.link_step1")}</li>
        <li>{t("setup.link_step2")}</li>
        <li>{t("setup.link_step3")}</li>
      </ol>
      <QrCode text={offer.uri} label={t("setup.link_qr")} />
      <CopyText text={offer.uri} label={t("setup.link_uri")} />
      <p class="digits" aria-label={t("setup.link_code")}>
        <output dir="ltr">{offer.code.replace(/^(\d{3})(\d{3})$/, "$1 $2")}</output>
      </p>
      <p class="soft-note" role="status">
        {isOver ? t("setup.link_over") : t("setup.link_waits", { time: countText(left.value) })}
      </p>
      <Problem of={problem} />
      <div class="row-end">
        <Button kind="quiet" onClick={onBack}>
          {t("action.back")}
        </Button>
        {isOver && (
          <Button kind="primary" onClick={onAgain}>
            {t("setup.link_again")}
          </Button>
        )}
      </div>
    </div>
  );
}
