// One member of a group, and what the person at the page may change about them.
import { useSignal } from "@preact/signals";
import type { GroupMemberRow } from "../api/rows";
import { Ask } from "../parts/Ask";
import { Button } from "../parts/Button";
import { openDialog } from "../state/dialogs";
import { maybe, t } from "../text/index";
import { personName } from "../chat/names";
import { PersonLine } from "./PersonLine";

/** What the own role allows. */
export interface Rights {
  /** Gives roles and removes anybody. */
  isOwner: boolean;
  /** Adds people, removes members, changes name and link. */
  isAdmin: boolean;
}

interface Props {
  member: GroupMemberRow;
  rights: Rights;
  busy: boolean;
  onRole: (role: string) => void;
  onRemove: () => void;
}

const ROLES = ["member", "admin", "owner"] as const;

/** The roles that may be given to `member`: owners give all, everybody may lower their own. */
export function rolesFor(member: GroupMemberRow, rights: Rights): readonly string[] {
  if (rights.isOwner) return ROLES;
  const at = ROLES.findIndex((role) => role === member.role);
  return member.own && rights.isAdmin ? ROLES.slice(0, at + 1) : [member.role];
}

/** Whether `member` may be taken out. */
export function mayRemove(member: GroupMemberRow, rights: Rights): boolean {
  if (member.own) return false;
  return rights.isOwner || (rights.isAdmin && member.role === "member");
}

/** A role as a word. */
export function roleName(role: string): string {
  return maybe(`rolename.${role}`) ?? role;
}

/** One line, with what can be done. */
export function Member({ member, rights, busy, onRole, onRemove }: Props) {
  const sure = useSignal(false);
  const who = personName(member.person);
  const roles = rolesFor(member, rights);
  const devices = t("group.devices", { n: member.devices });
  const isUnsure = !member.confirmed && !member.own;
  return (
    <li>
      <PersonLine
        person={member.person}
        note={[member.own ? t("group.you") : "", devices, isUnsure ? t("trust.unconfirmed") : ""]
          .filter(Boolean)
          .join(" · ")}
        onClick={
          member.own ? undefined : () => openDialog("safety", { who: member.person.account })
        }
      >
        {roles.length > 1 ? (
          <select
            aria-label={t("group.role_of", { who })}
            disabled={busy}
            value={member.role}
            onChange={(event) => onRole(event.currentTarget.value)}
          >
            {roles.map((role) => (
              <option key={role} value={role}>
                {roleName(role)}
              </option>
            ))}
          </select>
        ) : (
          <span class="soft-note">{roleName(member.role)}</span>
        )}
        {mayRemove(member, rights) && (
          <Button kind="quiet" disabled={busy} onClick={() => (sure.value = true)}>
            {t("group.remove")}
          </Button>
        )}
      </PersonLine>
      {sure.value && (
        <Ask
          label={t("group.remove")}
          action={t("group.remove_now")}
          busy={busy}
          onYes={() => {
            sure.value = false;
            onRemove();
          }}
          onNo={() => (sure.value = false)}
        >
          {t("group.remove_sure", { who })}
        </Ask>
      )}
    </li>
  );
}
