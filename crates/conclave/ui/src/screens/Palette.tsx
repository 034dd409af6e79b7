// The palette: some letters, then Enter, and one is there.
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { t } from "../text/index";
import { bind } from "./bind";
import { commands, fitting, runCommand } from "./commands";

/** Lines that are shown at once. */
const SHOWN = 40;

/** The dialog. */
export function Palette({ onClose }: { onClose: () => void }) {
  const words = useSignal("");
  const at = useSignal(0);
  const id = useId();
  const found = fitting(commands(), words.value, SHOWN);
  const chosen = Math.min(at.value, found.length - 1);
  const move = (event: KeyboardEvent) => {
    const to: Record<string, number> = {
      ArrowDown: (chosen + 1) % Math.max(1, found.length),
      ArrowUp: (chosen - 1 + found.length) % Math.max(1, found.length),
    };
    const next = to[event.key];
    const command = found[chosen];
    if (next !== undefined) {
      at.value = next;
      document.getElementById(`${id}o${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && command && !event.isComposing) runCommand(command);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={t("palette.title")} onClose={onClose}>
      <Field
        label={t("palette.words")}
        {...bind(words)}
        role="combobox"
        aria-expanded="true"
        aria-controls={`${id}l`}
        aria-autocomplete="list"
        aria-activedescendant={found.length > 0 ? `${id}o${chosen}` : undefined}
        onKeyDown={move}
        autofocus
      />
      <ul id={`${id}l`} class="options" role="listbox" aria-label={t("palette.list")} tabIndex={-1}>
        {found.map((one, place) => (
          <li
            key={one.id}
            id={`${id}o${place}`}
            class="option"
            role="option"
            aria-selected={place === chosen}
            onClick={() => runCommand(one)}
          >
            <Icon name={one.icon} />
            <span>
              <bdi>{one.name}</bdi> {one.more && <bdi class="soft-note">{one.more}</bdi>}
            </span>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="empty">{t("palette.none")}</p>}
    </Dialog>
  );
}
