// A dialog over the page: the browser keeps the focus in it, and gives it back.
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { lastNotice } from "../state/notices";
import { t } from "../text/index";
import { IconButton } from "./Button";
import { FIRST, giveBack } from "./focus";
import { stacked, Toasts } from "./Toast";

/** What a dialog is made of. */
export interface DialogParts {
  title: string;
  onClose: () => void;
  /** Buttons at the bottom. */
  footer?: ComponentChildren;
  /** `side` stands at the edge, `wide` has more room. */
  size?: "normal" | "wide" | "side" | "small";
  /** For questions that must be answered first. */
  role?: "dialog" | "alertdialog";
  children?: ComponentChildren;
}

/** A modal dialog with a title and a button that closes it. Esc closes it, too. */
export function Dialog({ title, onClose, footer, size = "normal", role, children }: DialogParts) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Before the next picture: letters typed at once behind the key that opens it go into it.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = ref.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>(`[${FIRST}]`)?.focus();
    stacked.value = [...stacked.peek(), { id, since: lastNotice() }];
    return () => {
      stacked.value = stacked.peek().filter((one) => one.id !== id);
      // Nothing outside can have the focus while it is open.
      dialog?.close();
      giveBack(before, dialog);
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog dialog-${size}`}
      role={role}
      aria-labelledby={id}
      onCancel={(event) => {
        // A file that is not picked cancels, too: its own line, and not what it stands in.
        if (event.target !== ref.current) return;
        event.preventDefault();
        onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === ref.current) onClose();
      }}
    >
      <div class="dialog-box">
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          <IconButton icon="close" label={t("action.close")} onClick={onClose} />
        </header>
        <div class="dialog-body">{children}</div>
        {footer && <footer class="dialog-foot">{footer}</footer>}
      </div>
      <Toasts layer={stacked.value.findIndex((one) => one.id === id) + 1} />
    </dialog>
  );
}
