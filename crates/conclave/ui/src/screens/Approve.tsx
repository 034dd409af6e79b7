// Lets a new device in: its link from a picture or pasted, its six digits, how much of the past it gets.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { rpc } from "../api/rpc";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { useGiveBack } from "../parts/focus";
import { PickPicture } from "../parts/PickPicture";
import { notify } from "../state/notices";
import { t } from "../text/index";
import { pictureOf } from "../text/picture";
import { safeName } from "../text/safe";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { useTask } from "./task";

const PASTS = ["none", "month", "all"] as const;
/** A person walks over to the other device in that time. */
const WAIT_MS = 60_000;

/** The form. */
export function Approve({ onDone, onCancel }: { onDone: () => void; onCancel: () => void }) {
  const ref = useRef<HTMLFormElement>(null);
  useGiveBack(ref);
  const link = useSignal("");
  const code = useSignal("");
  const history = useSignal<(typeof PASTS)[number]>("none");
  const task = useTask();
  const isLink = link.value.trim().startsWith("conclave-link:");
  const digits = code.value.replace(/\D/g, "");
  const named = useSignal("");
  const words = isLink ? link.value.trim() : "";
  useEffect(() => {
    // The person sees which device it is before they type its code.
    named.value = "";
    if (words === "") return;
    let isCurrent = true;
    rpc<{ name: string }>("devices.look", { link: words }).then(
      ({ name }) => {
        if (isCurrent) named.value = safeName(name);
      },
      // What is wrong with the link is said when it is used.
      () => undefined,
    );
    return () => {
      isCurrent = false;
    };
  }, [words]);
  const read = (file: File) =>
    task.run(async () => {
      const picture = await pictureOf(file, 2000);
      link.value = (await rpc<{ text: string }>("qr.read", { picture })).text;
    });
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isLink || digits.length !== 6) return;
    void task.run(async () => {
      await rpc("devices.approve", {
        link: words,
        code: digits,
        history: history.value,
        timeout_ms: WAIT_MS,
      });
      notify({ kind: "done", text: t("devices.approved") });
      onDone();
    });
  };
  return (
    <form ref={ref} class="box stack" onSubmit={submit} novalidate aria-label={t("devices.link")}>
      <h2 class="part-title">{t("devices.link")}</h2>
      <p>{t("approve.text")}</p>
      <div class="field-row">
        <Field
          label={t("approve.link")}
          error={link.value && !isLink ? t("approve.link_wrong") : ""}
          {...bind(link)}
          name="link"
          dir="ltr"
          autofocus
        />
        <PickPicture
          label={t("approve.picture")}
          busy={task.busy.value}
          onPick={(file) => void read(file)}
        />
      </div>
      <p role="status" class="soft-note">
        {named.value ? t("approve.named", { name: named.value }) : ""}
      </p>
      <Field
        label={t("approve.code")}
        hint={t("approve.code_hint")}
        {...bind(code)}
        name="code"
        inputmode="numeric"
        autocomplete="one-time-code"
        dir="ltr"
        class="code-field"
      />
      <fieldset class="choices">
        <legend>{t("approve.history")}</legend>
        {PASTS.map((past) => (
          <label key={past} class="pick-line">
            <input
              type="radio"
              name="history"
              checked={history.value === past}
              onChange={() => (history.value = past)}
            />
            <span>{t(`approve.history_${past}`)}</span>
          </label>
        ))}
      </fieldset>
      <p class="warn">{t("approve.warning")}</p>
      <Problem of={task.problem} />
      <div class="row-end">
        <Button kind="quiet" onClick={onCancel}>
          {t("action.cancel")}
        </Button>
        <Button
          kind="primary"
          type="submit"
          disabled={task.busy.value || !isLink || digits.length !== 6}
        >
          {t("approve.approve")}
        </Button>
      </div>
    </form>
  );
}
