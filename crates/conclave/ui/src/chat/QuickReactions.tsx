// The emoji that are put on messages most.
import type { MessageRow } from "../api/rows";
import { react } from "../state/sending";
import { t } from "../text/index";

const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

/** A row of them, above a message's menu. */
export function QuickReactions({ row, onDone }: { row: MessageRow; onDone: () => void }) {
  const own = row.reactions.find((one) => one.own)?.emoji;
  return (
    <div class="quick" role="group" aria-label={t("message.react")}>
      {QUICK.map((emoji) => (
        <button
          key={emoji}
          type="button"
          role="menuitemcheckbox"
          aria-checked={emoji === own}
          aria-label={t("message.react_with", { emoji })}
          onClick={() => {
            onDone();
            void react(row, emoji);
          }}
        >
          {emoji}
        </button>
      ))}
    </div>
  );
}
