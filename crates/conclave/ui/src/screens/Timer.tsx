// When messages of a chat disappear: chosen from a few spans, or a number of one's own.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { TimerRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { t } from "../text/index";
import { span } from "../text/time";
import { bind } from "./bind";
import { personName } from "../chat/names";
import { Problem } from "./Problem";
import { useLoad, useTask } from "./task";

const SPANS_S = [0, 300, 3_600, 28_800, 86_400, 604_800, 2_419_200] as const;
const UNITS_S = { seconds: 1, minutes: 60, hours: 3_600, days: 86_400, weeks: 604_800 } as const;
type Unit = keyof typeof UNITS_S;
/** A year: the longest that the program takes. */
const SECONDS_MAX = 31_536_000;

/** The dialog. */
export function Timer({ chat, onClose }: { chat: string; onClose: () => void }) {
  const loaded = useLoad(() => rpc<TimerRow>("chats.timer", { chat }), chat);
  // What was chosen stays, also when the answer comes later.
  const chosen = useSignal<number | null>(null);
  const isOwn = useSignal(false);
  const count = useSignal("2");
  const unit = useSignal<Unit>("hours");
  const task = useTask();
  const row = loaded.data.value;
  const seconds = chosen.value ?? row?.seconds ?? 0;
  const spans = [...new Set<number>([...SPANS_S, row?.seconds ?? 0])].sort((a, b) => a - b);
  const wanted = isOwn.value ? Number(count.value) * UNITS_S[unit.value] : seconds;
  const isRight = Number.isInteger(wanted) && wanted >= 0 && wanted <= SECONDS_MAX;
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isRight) return;
    void task.run(async () => {
      await rpc("chats.set_timer", { chat, seconds: wanted });
      onClose();
    });
  };
  return (
    <Dialog title={t("timer.title")} onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <p>{t("timer.text")}</p>
        {row?.by && <p class="soft-note">{t("timer.by", { who: personName(row.by) })}</p>}
        <Problem of={loaded.problem} />
        <fieldset class="choices">
          <legend>{t("timer.after")}</legend>
          {spans.map((each) => (
            <label key={each} class="pick-line">
              <input
                type="radio"
                name="span"
                checked={!isOwn.value && seconds === each}
                onChange={() => {
                  isOwn.value = false;
                  chosen.value = each;
                }}
              />
              <span>{each === 0 ? t("timer.off") : span(each)}</span>
            </label>
          ))}
          <label class="pick-line">
            <input
              type="radio"
              name="span"
              checked={isOwn.value}
              onChange={() => (isOwn.value = true)}
            />
            <span>{t("timer.own")}</span>
          </label>
        </fieldset>
        {isOwn.value && (
          <div class="field-row">
            <Field
              label={t("timer.count")}
              error={isRight ? "" : t("timer.wrong")}
              {...bind(count)}
              name="count"
              inputmode="numeric"
            />
            <label class="field">
              <span class="field-label">{t("timer.unit")}</span>
              <select
                value={unit.value}
                onChange={(event) => (unit.value = event.currentTarget.value as Unit)}
              >
                {(Object.keys(UNITS_S) as Unit[]).map((name) => (
                  <option key={name} value={name}>
                    {t(`timer.unit_${name}`)}
                  </option>
                ))}
              </select>
            </label>
          </div>
        )}
        <p class="soft-note">{t("timer.note")}</p>
        <Problem of={task.problem} />
        <div class="row-end">
          <Button kind="quiet" onClick={onClose}>
            {t("action.cancel")}
          </Button>
          <Button kind="primary" type="submit" disabled={task.busy.value || !isRight}>
            {t("action.save")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
