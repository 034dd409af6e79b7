// The notices, read out as they come.
import { signal } from "@preact/signals";
import { dismiss, notices } from "../state/notices";
import { t } from "../text/index";
import { Button, IconButton } from "./Button";
import { Icon } from "./Icon";

/** The dialogs that are open, topmost last, each with the last notice of before. What lies below the topmost is dim. */
export const stacked = signal<readonly { id: string; since: number }[]>([]);

/** The notices of a layer, 0 is the page: those that came while it was on top, so that they can be read and pressed. */
export function Toasts({ layer }: { layer: number }) {
  const from = stacked.value[layer - 1]?.since ?? 0;
  const to = stacked.value[layer]?.since ?? Infinity;
  const shown = notices.value.filter((one) => from < one.id && one.id <= to);
  return (
    <div class="toasts" role="region" aria-label={t("app.name")} aria-live="polite">
      {shown.map((notice) => (
        <div key={notice.id} class={`toast toast-${notice.kind}`} role={notice.kind === "error" ? "alert" : "status"}>
          <Icon name={notice.kind === "done" ? "check" : "alert"} />
          <div class="toast-words">
            <p dir="auto">{notice.text}</p>
            {notice.hint && <p class="toast-hint" dir="auto">{notice.hint}</p>}
            {notice.next && (
              <Button
                kind="quiet"
                onClick={() => {
                  dismiss(notice.id);
                  notice.next?.run();
                }}
              >
                {notice.next.label}
              </Button>
            )}
          </div>
          <IconButton icon="close" label={t("action.close")} onClick={() => dismiss(notice.id)} />
        </div>
      ))}
    </div>
  );
}
