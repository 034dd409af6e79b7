// A small list of emoji, found by their words.
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../text/index";
import type { EmojiGroup } from "../text/emoji";

/** A panel above the composer. */
export function EmojiPicker({ onPick, onClose }: { onPick: (emoji: string) => void; onClose: () => void }) {
  const ref = useRef<HTMLDivElement>(null);
  const [groups, setGroups] = useState<EmojiGroup[]>([]);
  const [words, setWords] = useState("");
  useEffect(() => {
    void import("../text/emoji").then((list) => setGroups(list.emojiGroups()));
    ref.current?.querySelector("input")?.focus();
    const away = (event: Event) => {
      const target = event.target as Element;
      if (!ref.current?.contains(target) && !target.closest("[aria-haspopup]")) onClose();
    };
    addEventListener("pointerdown", away, true);
    return () => removeEventListener("pointerdown", away, true);
  }, []);
  const wanted = words.trim().toLocaleLowerCase();
  const found = groups.flatMap((group) => group.emoji).filter((one) => one.words.includes(wanted));
  return (
    <div
      ref={ref}
      class="emoji"
      role="dialog"
      aria-label={t("composer.emoji")}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return arrows(event);
        event.stopPropagation();
        onClose();
      }}
    >
      <input type="search" value={words} placeholder={t("emoji.find")} aria-label={t("emoji.find")} onInput={(event) => setWords(event.currentTarget.value)} />
      <div class="emoji-grid" role="group" aria-label={t("composer.emoji")}>
        {found.map((one) => (
          <button key={one.emoji} type="button" title={one.words.split(" ")[0]} aria-label={`${one.emoji} ${one.words.split(" ")[0]}`} onClick={() => onPick(one.emoji)}>
            {one.emoji}
          </button>
        ))}
        {groups.length > 0 && found.length === 0 && <p class="soft">{t("emoji.none")}</p>}
      </div>
    </div>
  );
}

const COLUMNS = 8;

function arrows(event: KeyboardEvent): void {
  const panel = event.currentTarget as HTMLElement;
  const all = [...panel.querySelectorAll<HTMLElement>("input, button")];
  const now = all.indexOf(document.activeElement as HTMLElement);
  const isLine = now > 0;
  const forward = document.documentElement.dir === "rtl" ? -1 : 1;
  const steps: Record<string, number> = { ArrowDown: isLine ? COLUMNS : 1, ArrowUp: -COLUMNS, ArrowRight: isLine ? forward : 0, ArrowLeft: isLine ? -forward : 0 };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  all[Math.max(0, Math.min(all.length - 1, now + step))]?.focus();
}
