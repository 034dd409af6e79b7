// The link by which people ask to come into a group: made, shown, copied, taken back.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { GroupLinkRow, GroupRow } from "../api/rows";
import { Button } from "../parts/Button";
import { CopyText } from "../parts/CopyText";
import { QrCode } from "../parts/QrCode";
import { t } from "../text/index";
import { rightsIn } from "./Group";
import { Problem } from "./Problem";
import { useTask } from "./task";

/** Shown on demand: whoever sees the link can ask to come in. */
export function GroupLink({ group, onChanged }: { group: GroupRow; onChanged: () => void }) {
  const link = useSignal("");
  const task = useTask();
  if (!rightsIn(group).isAdmin) return null;
  const call = (method: string) =>
    task.run(async () => {
      const row = await rpc<Partial<GroupLinkRow>>(method, { group: group.id });
      link.value = row.link ?? "";
      onChanged();
    });
  return (
    <section class="stack">
      <h2 class="part-title">{t("grouplink.title")}</h2>
      <p class="soft-note">{t(group.has_link ? "grouplink.text" : "grouplink.none")}</p>
      {group.has_link && link.value && (
        <>
          <QrCode text={link.value} label={t("grouplink.qr")} />
          <CopyText text={link.value} label={t("grouplink.title")} />
        </>
      )}
      <Problem of={task.problem} />
      <div class="row-end">
        {group.has_link && !link.value && (
          <Button disabled={task.busy.value} onClick={() => void call("groups.link")}>
            {t("grouplink.show")}
          </Button>
        )}
        {group.has_link && (
          <Button
            kind="danger"
            disabled={task.busy.value}
            onClick={() => void call("groups.link_revoke")}
          >
            {t("grouplink.revoke")}
          </Button>
        )}
        <Button disabled={task.busy.value} onClick={() => void call("groups.link_create")}>
          {t(group.has_link ? "grouplink.renew" : "grouplink.make")}
        </Button>
      </div>
    </section>
  );
}
