// One sentence for each message, for those who hear the page.
import type { MessageRow } from "../api/rows";
import { safeText } from "../text/safe";
import { clock, dayName } from "../text/time";
import { t } from "../text/index";
import { fileLine, personName, stateWord, summary } from "./names";
import { plain } from "./markup";

/** Who said what when, and how far it is. */
export function spoken(row: MessageRow): string {
  const who = row.own ? t("person.you") : personName(row.from);
  const marks = [
    row.reply && t("spoken.reply", { who: personName(row.reply.from) }),
    row.forwarded && t("message.forwarded"),
    row.edited_ts_ms != null && t("message.edited"),
    row.pinned && t("message.pinned"),
    row.reactions.length > 0 && t("spoken.reactions", { list: row.reactions.map((one) => one.emoji).join(" ") }),
    row.own && !row.deleted_by && stateWord(row),
  ];
  const when = `${dayName(row.ts_ms)} ${clock(row.ts_ms)}`;
  return [t("spoken.message", { who, words: words(row), when }), ...marks.filter(Boolean)].join(", ");
}

function words(row: MessageRow): string {
  if (row.deleted_by || row.text === "") return summary(row);
  const files = row.attachments.map((file) => fileLine(file.name, file.length));
  return [safeText(plain(row.text.slice(0, 4000))), ...files].join(", ");
}
