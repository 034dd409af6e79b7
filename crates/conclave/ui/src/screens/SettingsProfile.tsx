// The name and picture that others see.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { ProfileRow } from "../api/rows";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { PickPicture } from "../parts/PickPicture";
import { me, profile } from "../state/me";
import { notify } from "../state/notices";
import { t } from "../text/index";
import { pictureOf } from "../text/picture";
import { bind } from "./bind";
import { Problem } from "./Problem";
import { useTask } from "./task";

/** Pixels along the longer side of a picture that is sent on; the program makes it smaller still. */
const SIDE_PIXELS = 1024;

/** The part of the settings. */
export function Profile() {
  const now = profile.value;
  const name = useSignal(now?.person.name ?? "");
  const task = useTask();
  const set = (words: object) =>
    task.run(async () => {
      profile.value = await rpc<ProfileRow>("profile.set", words);
      notify({ kind: "done", text: t("settings.saved") });
    });
  const picture = async (file: File) => {
    let base64 = "";
    const isPicture = await task.run(async () => {
      base64 = await pictureOf(file, SIDE_PIXELS);
    });
    if (isPicture) await set({ picture: base64 });
  };
  return (
    <section class="settings-part">
      <h3>{t("settings.profile")}</h3>
      <div class="row">
        <Avatar
          id={me.value?.account ?? ""}
          name={now?.person.name || me.value?.identifier || ""}
          picture={now?.picture ? `data:image/jpeg;base64,${now.picture}` : null}
          size="large"
        />
        <PickPicture
          label={t("settings.picture")}
          busy={task.busy.value}
          onPick={(file) => void picture(file)}
        />
        {now?.picture && (
          <Button
            kind="quiet"
            disabled={task.busy.value}
            onClick={() => void set({ picture: "" })}
          >
            {t("settings.no_picture")}
          </Button>
        )}
      </div>
      <form
        class="field-row"
        onSubmit={(event) => {
          event.preventDefault();
          void set({ name: name.value.trim() });
        }}
      >
        <Field
          label={t("settings.your_name")}
          hint={t("settings.your_name_hint")}
          {...bind(name)}
          name="name"
          autocomplete="name"
        />
        <Button
          type="submit"
          disabled={task.busy.value || name.value.trim() === (now?.person.name ?? "")}
        >
          {t("action.save")}
        </Button>
      </form>
      <Problem of={task.problem} />
    </section>
  );
}
