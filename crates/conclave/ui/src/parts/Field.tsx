// A line to write in, with its label, a hint and what is wrong with it.
import type { InputHTMLAttributes } from "preact";
import { useId, useRef } from "preact/hooks";
import { t } from "../text/index";
import { useFirst } from "./focus";

type Native = InputHTMLAttributes<HTMLInputElement>;

interface Parts {
  label: string;
  hint?: string;
  error?: string;
  /** Whether it may stay empty where others must not; said beside the label. */
  optional?: boolean;
  onText?: (text: string) => void;
}

/** A labelled line. `onText` gets what is in it. */
export function Field(props: Native & Parts) {
  const { label, hint, error, optional, autofocus, onText, class: extra, ...rest } = props;
  const id = useId();
  const line = useRef<HTMLInputElement>(null);
  const first = useFirst(line, autofocus === true);
  const described = [optional && `${id}o`, hint && `${id}h`, error && `${id}e`].filter(Boolean).join(" ");
  return (
    <div class={`field ${extra ?? ""}`}>
      <span class="field-top">
        <label for={id}>{label}</label>
        {optional && <span class="field-optional" id={`${id}o`}>{t("field.optional")}</span>}
      </span>
      <input
        ref={line}
        id={id}
        {...first}
        dir="auto"
        autocomplete="off"
        {...rest}
        aria-describedby={described || undefined}
        aria-invalid={error ? "true" : undefined}
        onInput={(event) => onText?.(event.currentTarget.value)}
      />
      {hint && <p class="field-hint" id={`${id}h`}>{hint}</p>}
      {error && <p class="field-error" id={`${id}e`} role="alert">{error}</p>}
    </div>
  );
}

/** A switch with its label. */
export function Switch(props: { label: string; hint?: string; on: boolean; disabled?: boolean; onChange: (on: boolean) => void }) {
  const id = useId();
  return (
    <div class="switch">
      <label for={id}>
        {props.label}
        {props.hint && <span class="field-hint">{props.hint}</span>}
      </label>
      <input
        id={id}
        type="checkbox"
        role="switch"
        checked={props.on}
        disabled={props.disabled}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
    </div>
  );
}
