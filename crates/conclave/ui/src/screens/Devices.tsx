// The devices of the account: which there are, their names, and out with a lost one.
import { type Signal, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { rpc } from "../api/rpc";
import type { DeviceRow } from "../api/rows";
import { Ask } from "../parts/Ask";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { useGiveBack } from "../parts/focus";
import { safeName } from "../text/safe";
import { t } from "../text/index";
import { dayName } from "../text/time";
import { bind } from "./bind";
import { Approve } from "./Approve";
import { Problem } from "./Problem";
import { useFresh, useLoad, useTask } from "./task";

/** The dialog. */
export function Devices({ onClose }: { onClose: () => void }) {
  const isLinking = useSignal(false);
  const loaded = useLoad(
    async () => (await rpc<{ devices: DeviceRow[] }>("devices.list", {})).devices,
    "",
  );
  useFresh(["devices", "again"], loaded.reload);
  const devices = loaded.data.value;
  return (
    <Dialog title={t("devices.title")} onClose={onClose}>
      <p class="soft-note">{t("devices.text")}</p>
      <Problem of={loaded.problem} />
      <ul class="boxes">
        {devices?.map((row) => (
          <Device key={row.device} row={row} onChanged={() => void loaded.reload()} />
        ))}
      </ul>
      {isLinking.value ? (
        <Approve
          onDone={() => {
            isLinking.value = false;
            void loaded.reload();
          }}
          onCancel={() => (isLinking.value = false)}
        />
      ) : (
        <Button kind="primary" onClick={() => (isLinking.value = true)}>
          {t("devices.link")}
        </Button>
      )}
    </Dialog>
  );
}

/** What a device is called: its name, else that it has none, with the beginning of its id. */
export function deviceName(row: Pick<DeviceRow, "name" | "device">): string {
  return safeName(row.name) || t("devices.unnamed", { id: row.device.slice(2, 8) });
}

function Device({ row, onChanged }: { row: DeviceRow; onChanged: () => void }) {
  const mode = useSignal<"show" | "rename" | "remove">("show");
  const name = useSignal(row.name);
  const task = useTask();
  const show = () => (mode.value = "show");
  const call = (method: string, words: object) =>
    task.run(async () => {
      await rpc(method, { device: row.device, ...words });
      show();
      onChanged();
    });
  const seen = row.seen_ms ? t("devices.seen", { when: dayName(row.seen_ms) }) : "";
  const facts = [t("devices.added", { when: dayName(row.added_ms) }), seen];
  return (
    <li class="box">
      <p class="box-title">
        <bdi class="strong">{deviceName(row)}</bdi>{" "}
        {row.this && <span class="tag good">{t("devices.this")}</span>}
      </p>
      <p class="soft-note">{facts.filter(Boolean).join(" · ")}</p>
      {row.role !== "certifier" && <p class="soft-note">{t("devices.ordinary")}</p>}
      <Problem of={task.problem} />
      {mode.value === "show" && (
        <div class="row-end">
          <Button kind="quiet" onClick={() => (mode.value = "rename")}>
            {t("devices.rename")}
          </Button>
          {!row.this && (
            <Button kind="danger" onClick={() => (mode.value = "remove")}>
              {t("devices.remove")}
            </Button>
          )}
        </div>
      )}
      {mode.value === "rename" && (
        <Rename
          name={name}
          busy={task.busy.value}
          onSave={() => void call("devices.rename", { name: name.value.trim() })}
          onCancel={show}
        />
      )}
      {mode.value === "remove" && (
        <Ask
          label={t("devices.remove")}
          action={t("devices.remove_now")}
          busy={task.busy.value}
          onYes={() => void call("devices.remove", {})}
          onNo={show}
        >
          {t("devices.remove_sure")}
        </Ask>
      )}
    </li>
  );
}

interface RenameProps {
  name: Signal<string>;
  busy: boolean;
  onSave: () => void;
  onCancel: () => void;
}

function Rename({ name, busy, onSave, onCancel }: RenameProps) {
  const ref = useRef<HTMLFormElement>(null);
  useGiveBack(ref);
  const submit = (event: Event) => {
    event.preventDefault();
    onSave();
  };
  return (
    <form ref={ref} class="field-row" onSubmit={submit}>
      <Field label={t("setup.device_name")} {...bind(name)} name="name" autofocus />
      <Button disabled={busy} type="submit">
        {t("action.save")}
      </Button>
      <Button kind="quiet" onClick={onCancel}>
        {t("action.cancel")}
      </Button>
    </form>
  );
}
