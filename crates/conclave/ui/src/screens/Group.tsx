// A group: who is in it and may do what, its name, its link, the way out.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import type { GroupRow } from "../api/rows";
import { Ask } from "../parts/Ask";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { contacts, loadContacts } from "../state/contacts";
import { safeName } from "../text/safe";
import { t } from "../text/index";
import { bind } from "./bind";
import { GroupLink } from "./GroupLink";
import { Member, roleName, type Rights } from "./GroupMember";
import { PeoplePicker } from "./PeoplePicker";
import { Problem } from "./Problem";
import { type Task, useFresh, useLoad, useTask } from "./task";

/** What the own role allows. */
export function rightsIn(group: GroupRow): Rights {
  const role = group.members.find((one) => one.own)?.role ?? "member";
  const isIn = group.state === "open";
  return { isOwner: isIn && role === "owner", isAdmin: isIn && role !== "member" };
}

/** The dialog. */
export function Group({ chat, onClose }: { chat: string; onClose: () => void }) {
  const task = useTask();
  const loaded = useLoad(() => rpc<GroupRow>("groups.show", { group: chat }), chat);
  useFresh(["group_change", "chat", "again"], loaded.reload, chat);
  const group = loaded.data.value;
  const change = (method: string, words: object) =>
    task.run(async () => {
      const now = await rpc<GroupRow>(method, { group: chat, ...words });
      if (now.members) loaded.data.value = now;
      else await loaded.reload();
    });
  return (
    <Dialog title={safeName(group?.name ?? "") || t("group.title")} onClose={onClose}>
      <Problem of={loaded.problem} />
      {group && (
        <>
          <Problem of={task.problem} />
          <Wishes group={group} />
          <Members group={group} change={change} busy={task.busy.value} />
          {rightsIn(group).isAdmin && <AddPeople group={group} task={task} change={change} />}
          {rightsIn(group).isAdmin && <Rename group={group} task={task} change={change} />}
          <GroupLink group={group} onChanged={() => void loaded.reload()} />
          <Roles />
          <Leave group={group} task={task} change={change} />
        </>
      )}
    </Dialog>
  );
}

type Change = (method: string, words: object) => Promise<boolean>;
interface PartProps {
  group: GroupRow;
  task: Task;
  change: Change;
}

/** What was wanted of the group and waits, or cannot be. */
function Wishes({ group }: { group: GroupRow }) {
  return (
    <>
      {group.state === "left" && <p class="warn">{t("group.left")}</p>}
      {group.waiting.map((wish) => (
        <p class="soft-note" key={wish.text}>
          {t("group.waits", { text: safeName(wish.text) })}
        </p>
      ))}
      {group.failed.map((wish) => (
        <p class="warn" key={wish.text}>
          {t("group.failed", { text: safeName(wish.text) })} <bdi>{wish.reason}</bdi>
        </p>
      ))}
    </>
  );
}

function Members(props: { group: GroupRow; change: Change; busy: boolean }) {
  const { group, change, busy } = props;
  return (
    <section>
      <h2 class="part-title">{t("group.members", { n: group.members.length })}</h2>
      <ul class="people">
        {group.members.map((one) => (
          <Member
            key={one.person.account}
            member={one}
            rights={rightsIn(group)}
            busy={busy}
            onRole={(role) => void change("groups.role", { who: one.person.account, role })}
            onRemove={() => void change("groups.remove", { who: one.person.account })}
          />
        ))}
      </ul>
    </section>
  );
}

function AddPeople({ group, task, change }: PartProps) {
  const isOpen = useSignal(false);
  const picked = useSignal<string[]>([]);
  useLoad(loadContacts, "");
  if (!isOpen.value) {
    return <Button onClick={() => (isOpen.value = true)}>{t("group.add")}</Button>;
  }
  const add = async () => {
    if (!(await change("groups.add", { who: picked.value }))) return;
    picked.value = [];
    isOpen.value = false;
  };
  return (
    <section class="stack">
      <PeoplePicker
        contacts={contacts.value}
        picked={picked}
        without={group.members.map((one) => one.person.account)}
      />
      <div class="row-end">
        <Button kind="quiet" onClick={() => (isOpen.value = false)}>
          {t("action.cancel")}
        </Button>
        <Button
          kind="primary"
          disabled={task.busy.value || picked.value.length === 0}
          onClick={() => void add()}
        >
          {t("group.add_now", { n: picked.value.length })}
        </Button>
      </div>
    </section>
  );
}

function Rename({ group, task, change }: PartProps) {
  const name = useSignal(group.name);
  const words = name.value.trim();
  const submit = (event: Event) => {
    event.preventDefault();
    if (words && words !== group.name) void change("groups.rename", { name: words });
  };
  return (
    <form class="field-row" onSubmit={submit}>
      <Field label={t("newgroup.name")} {...bind(name)} name="name" />
      <Button type="submit" disabled={task.busy.value || !words || words === group.name}>
        {t("group.rename")}
      </Button>
    </form>
  );
}

/** Who may do what, in plain words. */
function Roles() {
  return (
    <details class="more">
      <summary>{t("group.roles")}</summary>
      <dl class="roles">
        {(["member", "admin", "owner"] as const).map((role) => (
          <div key={role}>
            <dt>{roleName(role)}</dt>
            <dd>{t(`rolename.${role}.may`)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function Leave({ group, task, change }: PartProps) {
  const sure = useSignal(false);
  if (group.state !== "open") return null;
  if (!sure.value) {
    return (
      <Button kind="danger" onClick={() => (sure.value = true)}>
        {t("group.leave")}
      </Button>
    );
  }
  const isLastOwner =
    rightsIn(group).isOwner &&
    group.members.length > 1 &&
    group.members.filter((one) => one.role === "owner").length === 1;
  return (
    <Ask
      label={t("group.leave")}
      action={t("group.leave_now")}
      busy={task.busy.value}
      onYes={() => void change("groups.leave", {}).then((is) => is && (sure.value = false))}
      onNo={() => (sure.value = false)}
    >
      {t(isLastOwner ? "group.leave_last_owner" : "group.leave_sure")}
    </Ask>
  );
}
