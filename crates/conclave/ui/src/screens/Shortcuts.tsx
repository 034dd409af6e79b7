// The list of keys.
import { Dialog } from "../parts/Dialog";
import { t, type TextKey } from "../text/index";

const isMac = /mac/i.test(navigator.platform);
const control = isMac ? "⌘" : "Ctrl";

const KEYS: readonly (readonly [TextKey, string])[] = [
  ["shortcuts.palette", `${control}+K`],
  ["shortcuts.search_chat", `${control}+F`],
  ["shortcuts.search_all", `${control}+Shift+F`],
  ["shortcuts.new_chat", `${control}+N  Alt+N`],
  ["shortcuts.chats", "Alt+↑  Alt+↓"],
  ["shortcuts.edit", "↑"],
  ["shortcuts.line", "Shift+Enter"],
  ["shortcuts.close", "Esc"],
  ["shortcuts.settings", `${control}+,`],
  ["shortcuts.lock", `${control}+Shift+L`],
  ["shortcuts.shortcuts", `${control}+/`],
];

/** The dialog. */
export function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={t("shortcuts.title")} onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([key, presses]) => (
          <div key={key}>
            <dt>{t(key)}</dt>
            <dd dir="ltr">
              {presses.split("  ").map((press) => (
                <kbd key={press}>{press}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <p class="soft-note">{t("shortcuts.note")}</p>
    </Dialog>
  );
}
