// Buttons: with words, and with an icon alone.
import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useFirst } from "./focus";
import { Icon, type IconName } from "./Icon";

type Native = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "icon">;

/** A button with words. */
export function Button(props: Native & { kind?: "plain" | "primary" | "danger" | "quiet"; icon?: IconName; children?: ComponentChildren }) {
  const { kind = "plain", icon, children, class: extra, autofocus, ...rest } = props;
  const ref = useRef<HTMLButtonElement>(null);
  const first = useFirst(ref, autofocus === true);
  return (
    <button ref={ref} type="button" {...rest} {...first} class={`button button-${kind} ${extra ?? ""}`}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A button of an icon; `label` is what it does. */
export function IconButton(props: Native & { icon: IconName; label: string }) {
  const { icon, label, class: extra, ...rest } = props;
  return (
    <button type="button" aria-label={label} title={label} {...rest} class={`icon-button ${extra ?? ""}`}>
      <Icon name={icon} />
    </button>
  );
}
