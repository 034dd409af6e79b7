// Settings: what others see, how the page looks, what it tells, what stays private, the lock.
import { rpc } from "../api/rpc";
import type { SettingRow } from "../api/rows";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { openDialog } from "../state/dialogs";
import { t } from "../text/index";
import { Problem } from "./Problem";
import { About } from "./SettingsAbout";
import { LockPart } from "./SettingsLock";
import { Look, Notify } from "./SettingsLook";
import { Privacy } from "./SettingsPrivacy";
import { Profile } from "./SettingsProfile";
import { useLoad } from "./task";

/** The settings of the profile, by name. */
export type Values = Record<string, string>;

/** The dialog. */
export function Settings({ onClose }: { onClose: () => void }) {
  const loaded = useLoad(async () => {
    const { settings } = await rpc<{ settings: SettingRow[] }>("config.list");
    return Object.fromEntries(settings.map((row) => [row.setting, row.value])) as Values;
  }, "");
  const change = async (setting: string, value: string) => {
    const row = await rpc<SettingRow>("config.set", { setting, value });
    loaded.data.value = { ...loaded.data.value, [row.setting]: row.value };
  };
  return (
    <Dialog title={t("settings.title")} onClose={onClose}>
      <div class="row">
        <Button icon="qr" onClick={() => openDialog("address", {})}>
          {t("settings.address")}
        </Button>
        <Button icon="person" onClick={() => openDialog("contacts", {})}>
          {t("settings.contacts")}
        </Button>
        <Button icon="device" onClick={() => openDialog("devices", {})}>
          {t("settings.devices")}
        </Button>
      </div>
      <Profile />
      <Look />
      <Notify />
      <Problem of={loaded.problem} />
      {loaded.data.value && <Privacy values={loaded.data.value} change={change} />}
      <LockPart />
      <About />
    </Dialog>
  );
}
