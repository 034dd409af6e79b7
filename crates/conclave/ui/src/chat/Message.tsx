// One message: its bubble, what it answers, its files, marks, state and reactions.
import { memo } from "../parts/memo";
import type { MessageRow, ReactionRow } from "../api/rows";
import { Avatar, colourOf } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { Icon, type IconName } from "../parts/Icon";
import { Progress } from "../parts/Progress";
import { openDialog } from "../state/dialogs";
import { report } from "../state/notices";
import { cancelSending, isLocal, type LocalRow, react, retry } from "../state/sending";
import { safeName } from "../text/safe";
import { clock, fullTime, span } from "../text/time";
import { number, t } from "../text/index";
import { FileView } from "./FileView";
import type { MessageLine } from "./layout";
import { openMessageMenu } from "./messageMenu";
import { personName, stateWord, summary } from "./names";
import { spoken } from "./spoken";
import { jumpTo, lit, selected, toggleSelected } from "./view";
import { Words } from "./Words";

/** A line with a message. Drawn again only when the message or its place in the group changed. */
export const Message = memo(Drawn, (a, b) => a.line.row === b.line.row && a.line.first === b.line.first && a.line.last === b.line.last && a.inGroup === b.inGroup);

function Drawn({ line, inGroup }: { line: MessageLine; inGroup: boolean }) {
  const { row, first, last } = line;
  const chosen = selected.value;
  const classes = ["message", row.own && "own", first && "first", last && "last", lit.value === row.id && "lit", chosen?.has(row.id) && "chosen"];
  return (
    <article
      class={classes.filter(Boolean).join(" ")}
      aria-label={spoken(row)}
      tabIndex={-1}
      data-message={row.id}
      onContextMenu={(event) => menu(event, row)}
      onClick={() => chosen && toggleSelected(row.id)}
    >
      {chosen && <span class="tick" aria-hidden="true">{chosen.has(row.id) && <Icon name="check" />}</span>}
      {inGroup && !row.own && (last ? <Avatar id={row.from.account} name={personName(row.from)} size="small" /> : <span class="avatar-room" />)}
      <div class="bubble-side">
        <div class="bubble">
          {inGroup && first && !row.own && <Sender row={row} />}
          <Content row={row} />
          <Foot row={row} />
        </div>
        <Reactions row={row} />
      </div>
      {!chosen && !isLocal(row) && (
        <IconButton class="message-more" icon="more" label={t("message.actions")} tabIndex={-1} onClick={(event) => menu(event, row)} />
      )}
    </article>
  );
}

function menu(event: MouseEvent, row: MessageRow): void {
  if (selected.value || isLocal(row) || (event.target as Element).closest("a")) return;
  event.preventDefault();
  event.stopPropagation();
  openMessageMenu(row, event);
}

function Sender({ row }: { row: MessageRow }) {
  return <bdi class={`sender colour-${colourOf(row.from.account)}`}>{personName(row.from)}</bdi>;
}

function Content({ row }: { row: MessageRow }) {
  if (row.deleted_by) return <p class="deleted">{t("message.deleted_by", { who: row.deleted_by.account === row.from.account && row.own ? t("person.you") : personName(row.deleted_by) })}</p>;
  return (
    <>
      {row.forwarded && <p class="mark"><Icon name="forward" />{t("message.forwarded")}</p>}
      {row.reply && <Quote row={row} />}
      {row.attachments.map((file, index) => <FileView key={index} row={row} file={file} number={index + 1} />)}
      {row.contact && <p class="card"><Icon name="person" /><bdi>{safeName(row.contact.name)}</bdi> <bdi class="soft">{safeName(row.contact.identifier)}</bdi></p>}
      {row.text !== "" && <Words row={row} />}
      <Sending row={row} />
    </>
  );
}

function Quote({ row }: { row: MessageRow }) {
  const reply = row.reply;
  if (!reply) return null;
  const words = reply.here ? safeName(reply.text, 160) || t("message.file") : t("message.not_here");
  return (
    <button type="button" class="quote" disabled={!reply.here} onClick={(event) => {
      event.stopPropagation();
      void jumpTo(row.chat, reply.id);
    }}>
      <bdi class="quote-who">{personName(reply.from)}</bdi>
      <bdi class="quote-words">{words}</bdi>
    </button>
  );
}

function Sending({ row }: { row: LocalRow }) {
  if (!isLocal(row)) return null;
  return (
    <div class="sending">
      {row.progress && row.state === "sending" && <Progress done={row.progress[0]} total={row.progress[1]} label={t("file.uploading", { name: safeName(row.attachments[0]?.name ?? "") })} />}
      {row.progress && row.state === "sending" && <IconButton icon="close" label={t("file.cancel")} onClick={() => cancelSending(row)} />}
    </div>
  );
}

function Foot({ row }: { row: MessageRow }) {
  return (
    <footer class="foot">
      {row.pinned && <Icon name="pin" label={t("message.pinned")} />}
      {row.expires_s > 0 && <span class="timer" title={t("message.expires", { time: span(row.expires_s) })}><Icon name="timer" label={t("message.expires", { time: span(row.expires_s) })} /></span>}
      {row.edited_ts_ms != null && !row.deleted_by && (
        <button type="button" class="text-button" onClick={() => openDialog("info", { message: row.id })}>{t("message.edited")}</button>
      )}
      <time dateTime={row.ts} title={fullTime(row.ts_ms)}>{clock(row.ts_ms)}</time>
      {row.own && !row.deleted_by && <State row={row} />}
    </footer>
  );
}

const STATE_ICONS: Record<string, IconName> = { sending: "clock", queued: "clock", accepted: "check", delivered: "checks", read: "checks", failed: "alert" };

function State({ row }: { row: MessageRow }) {
  const words = stateWord(row);
  if (row.state === "failed") {
    const again = (
      <button type="button" class="text-button danger" title={row.reason} onClick={() => retry(row).catch(report)}>
        <Icon name="alert" />{t("message.failed_retry")}
      </button>
    );
    // Others can be deleted by their menu.
    if (!isLocal(row)) return again;
    return (
      <>
        {again}
        <button type="button" class="text-button danger" onClick={() => cancelSending(row)}>{t("action.delete")}</button>
      </>
    );
  }
  return (
    <button type="button" class={`state state-${row.state}`} title={words} aria-label={words} tabIndex={-1} disabled={isLocal(row)} onClick={() => openDialog("info", { message: row.id })}>
      <Icon name={STATE_ICONS[row.state] ?? "clock"} />
      <span class="state-word">{words}</span>
    </button>
  );
}

function Reactions({ row }: { row: MessageRow }) {
  if (row.reactions.length === 0) return null;
  const groups = new Map<string, ReactionRow[]>();
  for (const one of row.reactions) groups.set(one.emoji, [...(groups.get(one.emoji) ?? []), one]);
  return (
    <div class="reactions">
      {[...groups].map(([emoji, list]) => {
        const who = list.map((one) => (one.own ? t("person.you") : personName(one.from))).join(", ");
        const own = list.some((one) => one.own);
        return (
          <button key={emoji} type="button" class={own ? "reaction mine" : "reaction"} aria-pressed={own} title={who} onClick={() => void react(row, emoji)}>
            <bdi>{safeName(emoji, 8)}</bdi>
            {list.length > 1 && <span>{number(list.length)}</span>}
            <span class="visually-hidden">{t("message.reaction_from", { who })}</span>
          </button>
        );
      })}
    </div>
  );
}


/** A message in one line, for bars and quotes. */
export function OneLine({ row }: { row: MessageRow }) {
  return <bdi class="ellipsis">{summary(row)}</bdi>;
}
