// One message in detail: when, how far it came on each device, what it said before.
import { rpc } from "../api/rpc";
import type { DeviceMarkRow, InfoRow } from "../api/rows";
import { Dialog } from "../parts/Dialog";
import { safeText } from "../text/safe";
import { t } from "../text/index";
import { fullTime } from "../text/time";
import { personName, stateWord } from "../chat/names";
import { Problem } from "./Problem";
import { useFresh, useLoad } from "./task";

/** The dialog. */
export function Info({ message, onClose }: { message: string; onClose: () => void }) {
  const loaded = useLoad(() => rpc<InfoRow>("messages.info", { id: message }), message);
  useFresh(["state", "changed", "chat"], loaded.reload);
  const info = loaded.data.value;
  return (
    <Dialog title={t("info.title")} onClose={onClose}>
      <Problem of={loaded.problem} />
      {info && (
        <>
          <Facts info={info} />
          <Marks marks={info.marks} />
          <Versions info={info} />
        </>
      )}
    </Dialog>
  );
}

function Facts({ info }: { info: InfoRow }) {
  const { message } = info;
  const state = message.own ? stateWord(message) : "";
  const facts: [string, string][] = [
    [t("info.from"), message.own ? t("group.you") : personName(message.from)],
    [t("info.time"), fullTime(message.ts_ms)],
    [t("info.state"), state],
    [t("info.reason"), message.reason],
    [t("info.edited"), message.edited_ts_ms ? fullTime(message.edited_ts_ms) : ""],
    [t("info.expires"), message.expires_ts_ms ? fullTime(message.expires_ts_ms) : ""],
  ];
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== "")
        .map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd dir="auto">{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** How far one device came, as one word. */
export function markWord(mark: Pick<DeviceMarkRow, "delivered" | "read">): string {
  if (mark.read) return t("info.mark_read");
  return t(mark.delivered ? "info.mark_delivered" : "info.mark_waiting");
}

function Marks({ marks }: { marks: DeviceMarkRow[] }) {
  if (marks.length === 0) return null;
  return (
    <section>
      <h2 class="part-title">{t("info.devices")}</h2>
      <ul class="marks">
        {marks.map((mark) => (
          <li key={mark.device}>
            <span>
              <bdi>{personName(mark.person)}</bdi>{" "}
              <code class="soft-note" dir="ltr">
                {mark.device.slice(0, 10)}
              </code>
            </span>
            <span class={mark.read ? "tag good" : "tag"}>{markWord(mark)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Versions({ info }: { info: InfoRow }) {
  if (info.versions.length === 0) return null;
  return (
    <section>
      <h2 class="part-title">{t("info.before")}</h2>
      <ol class="versions">
        {info.versions.map((version) => (
          <li key={version.ts}>
            <time class="soft-note" dateTime={version.ts}>
              {fullTime(version.ts_ms)}
            </time>
            <p class="words" dir="auto">
              {safeText(version.text)}
            </p>
          </li>
        ))}
      </ol>
    </section>
  );
}
