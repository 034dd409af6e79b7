// How the page looks in this browser, and whether it tells of what comes.
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { Switch } from "../parts/Field";
import { type Prefs, prefs, setPrefs } from "../state/prefs";
import { type Language, LANGUAGES, loadLanguage, t } from "../text/index";

/** One of a few; `value` of the empty string is the first. */
function Choice(props: {
  label: string;
  value: string;
  options: (readonly [string, string])[];
  onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select
        id={id}
        value={props.value}
        onChange={(event) => props.onChange(event.currentTarget.value)}
      >
        {props.options.map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </div>
  );
}

/** What languages call themselves. */
function ownName(language: string): string {
  const name = new Intl.DisplayNames([language], { type: "language" }).of(language) ?? language;
  return name.charAt(0).toLocaleUpperCase(language) + name.slice(1);
}

/** Theme, language, size of text. */
export function Look() {
  const { theme, language, text_scale } = prefs.value;
  return (
    <section class="settings-part">
      <h3>{t("settings.look")}</h3>
      <Choice
        label={t("settings.theme")}
        value={theme ?? ""}
        options={[
          ["", t("settings.theme_system")],
          ["light", t("settings.theme_light")],
          ["dark", t("settings.theme_dark")],
        ]}
        onChange={(value) => setPrefs({ theme: (value || undefined) as Prefs["theme"] })}
      />
      <Choice
        label={t("settings.language")}
        value={language ?? ""}
        options={[
          ["", t("settings.language_system")],
          ...LANGUAGES.map((one) => [one, ownName(one)] as const),
        ]}
        onChange={(value) => {
          setPrefs({ language: (value || undefined) as Language | undefined });
          void loadLanguage();
        }}
      />
      <Choice
        label={t("settings.text")}
        value={String(text_scale ?? 1)}
        options={[
          ["1", t("settings.text_1")],
          ["1.15", t("settings.text_115")],
          ["1.3", t("settings.text_130")],
          ["1.6", t("settings.text_160")],
        ]}
        onChange={(value) => setPrefs({ text_scale: Number(value) })}
      />
    </section>
  );
}

/** Notifications; the browser is asked when they are wanted. */
export function Notify() {
  const isKnown = "Notification" in globalThis;
  const isDenied = useSignal(!isKnown || Notification.permission === "denied");
  const isOn = prefs.value.notify === true && !isDenied.value;
  const change = async (on: boolean) => {
    const allowed = !on || (await Notification.requestPermission()) === "granted";
    isDenied.value = !allowed && Notification.permission === "denied";
    setPrefs({ notify: on && allowed });
  };
  return (
    <section class="settings-part">
      <h3>{t("settings.notify")}</h3>
      <Switch
        label={t("settings.notify_on")}
        hint={isDenied.value ? t("settings.notify_denied") : t("settings.notify_hint")}
        on={isOn}
        disabled={!isKnown}
        onChange={(on) => void change(on)}
      />
      <Switch
        label={t("settings.notify_preview")}
        hint={t("settings.notify_preview_hint")}
        on={prefs.value.notify_preview === true}
        disabled={!isOn}
        onChange={(on) => setPrefs({ notify_preview: on })}
      />
    </section>
  );
}
