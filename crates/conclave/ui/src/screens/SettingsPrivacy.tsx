// What others learn of this person, to whom is written, what is loaded by itself.
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { Switch } from "../parts/Field";
import { t, type TextKey } from "../text/index";
import { size } from "../text/time";
import { Problem } from "./Problem";
import type { Values } from "./Settings";
import { useTask } from "./task";

interface Props {
  values: Values;
  change: (setting: string, value: string) => Promise<void>;
}

interface Line {
  setting: string;
  on: string;
  off: string;
  label: TextKey;
  hint: TextKey;
}

/** Settings that are on or off; those that the program does not have are not shown. */
const LINES: readonly Line[] = [
  { setting: "typing", on: "on", off: "off", label: "settings.typing", hint: "settings.typing_hint" },
  { setting: "receipts", on: "on", off: "off", label: "settings.receipts", hint: "settings.receipts_hint" },
  { setting: "trust.mode", on: "strict", off: "tofu", label: "settings.strict", hint: "settings.strict_hint" },
];
const AUTO_BYTES = [0, 262_144, 1_048_576, 10_485_760, 104_857_600];

/** The part of the settings. */
export function Privacy({ values: known, change }: Props) {
  const task = useTask();
  const id = useId();
  // What was just chosen is shown at once, and falls back to what holds when it cannot be set.
  const chosen = useSignal<Values>({});
  const values = { ...known, ...chosen.value };
  const set = async (setting: string, value: string): Promise<void> => {
    chosen.value = { [setting]: value };
    await task.run(() => change(setting, value));
    chosen.value = {};
  };
  const auto = values["attachments.auto"] === "off" ? 0 : Number(values["attachments.auto"] ?? 0);
  const steps = [...new Set([...AUTO_BYTES, auto])].sort((a, b) => a - b);
  return (
    <section class="settings-part">
      <h3>{t("settings.privacy")}</h3>
      {LINES.filter((line) => line.setting in values).map((line) => (
        <Switch
          key={line.setting}
          label={t(line.label)}
          hint={t(line.hint)}
          on={values[line.setting] === line.on}
          disabled={task.busy.value}
          onChange={(on) => void set(line.setting, on ? line.on : line.off)}
        />
      ))}
      <div class="field">
        <label for={id}>{t("settings.auto")}</label>
        <select
          id={id}
          value={String(auto)}
          disabled={task.busy.value}
          onChange={({ currentTarget: { value } }) =>
            void set("attachments.auto", value === "0" ? "off" : value)
          }
        >
          {steps.map((bytes) => (
            <option key={bytes} value={String(bytes)}>
              {bytes === 0 ? t("settings.auto_off") : size(bytes)}
            </option>
          ))}
        </select>
      </div>
      <Problem of={task.problem} />
    </section>
  );
}
