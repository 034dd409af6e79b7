// Asks a server for an account: its address, an identifier, a name, an invite where one is needed.
import { useSignal } from "@preact/signals";
import { rpc } from "../api/rpc";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { identifierOf } from "../state/identifier";
import { type TextKey, t } from "../text/index";
import { bind } from "./bind";
import { Problem } from "./Problem";
import type { Asked } from "./SetupConfirm";
import { useTask } from "./task";

interface CodeSent {
  identifier: string;
  valid_ms: number;
  resend_after_ms: number;
}

/** What is said to the server, again when another code is wanted. */
export interface RegisterWords {
  server: string;
  identifier: string;
  invite?: string;
  name?: string;
}

/** Asks for a code. */
export async function askForCode(words: RegisterWords): Promise<Asked> {
  const sent = await rpc<CodeSent>("account.register", { ...words });
  const now = Date.now();
  return {
    identifier: sent.identifier,
    again: words,
    resendMs: now + sent.resend_after_ms,
    validMs: now + sent.valid_ms,
  };
}

/** The form of a new account. */
export function Register(props: { onBack: () => void; onAsked: (asked: Asked) => void }) {
  const server = useSignal("");
  const typed = useSignal("");
  const name = useSignal("");
  const invite = useSignal("");
  const tried = useSignal(false);
  const task = useTask();
  const identifier = identifierOf(typed.value);
  const isServer = server.value.trim().startsWith("conclave://");
  const submit = (event: Event) => {
    event.preventDefault();
    tried.value = true;
    if (!identifier || !isServer) return;
    const words: RegisterWords = { server: server.value.trim(), identifier };
    if (invite.value.trim()) words.invite = invite.value.trim();
    if (name.value.trim()) words.name = name.value.trim();
    void task.run(async () => props.onAsked(await askForCode(words)));
  };
  const wrong = (is: boolean, key: TextKey) => (tried.value && !is ? t(key) : "");
  return (
    <form class="setup-form" onSubmit={submit} novalidate>
      <h1>{t("setup.register_title")}</h1>
      <Field
        label={t("setup.server")}
        hint={t("setup.server_hint")}
        error={wrong(isServer, "setup.server_wrong")}
        {...bind(server)}
        name="server"
        dir="ltr"
        autofocus
      />
      <Field
        label={t("setup.identifier")}
        hint={t("setup.identifier_hint")}
        error={wrong(identifier !== null, "setup.identifier_wrong")}
        {...bind(typed)}
        name="identifier"
        autocomplete="email"
        dir="ltr"
      />
      <Field
        label={t("setup.name")}
        hint={t("setup.name_hint")}
        {...bind(name)}
        optional
        name="name"
        autocomplete="name"
      />
      <Field
        label={t("setup.invite")}
        hint={t("setup.invite_hint")}
        {...bind(invite)}
        optional
        name="invite"
        dir="ltr"
      />
      <Problem of={task.problem} />
      <div class="row-end">
        <Button kind="quiet" onClick={props.onBack}>
          {t("action.back")}
        </Button>
        <Button disabled={task.busy.value} kind="primary" type="submit">
          {t("setup.ask_code")}
        </Button>
      </div>
    </form>
  );
}
