// A question inside a screen, asked before something that cannot be taken back.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { t } from "../text/index";
import { Button } from "./Button";
import { useGiveBack } from "./focus";

interface Props {
  /** What it is about. */
  label: string;
  /** What the button says that does it. */
  action: string;
  busy: boolean;
  onYes: () => void;
  onNo: () => void;
  children: ComponentChildren;
}

/** The question; the focus is at the way back, and returns to where it was. */
export function Ask({ label, action, busy, onYes, onNo, children }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  useGiveBack(ref);
  return (
    <div ref={ref} class="ask" role="alertdialog" aria-label={label}>
      <p>{children}</p>
      <div class="row-end">
        <Button autofocus onClick={onNo}>{t("action.cancel")}</Button>
        <Button kind="danger" disabled={busy} onClick={onYes}>{action}</Button>
      </div>
    </div>
  );
}
