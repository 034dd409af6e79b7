// A text to take along: shown whole, selectable, with a button that copies it.
import { useSignal } from "@preact/signals";
import { t } from "../text/index";
import { Button } from "./Button";

/** `label` says what it is; screen readers hear whether it was copied. */
export function CopyText({ text, label }: { text: string; label: string }) {
  const copied = useSignal<"no" | "yes" | "failed">("no");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      copied.value = "yes";
    } catch {
      // Browsers may refuse; the text can be selected by hand.
      copied.value = "failed";
    }
  };
  return (
    <div class="copy-text">
      <code class="copy-words" dir="ltr" tabIndex={0} aria-label={`${label}: ${text}`}>
        {text}
      </code>
      <Button onClick={() => void copy()}>
        {copied.value === "yes" ? t("action.copied") : t("action.copy")}
      </Button>
      <span class="visually-hidden" role="status">
        {copied.value === "yes" ? t("action.copied") : ""}
      </span>
      {copied.value === "failed" && <p class="soft-note">{t("action.copy_by_hand")}</p>}
    </div>
  );
}
