// How far something is.
import { percent } from "../text/time";

/** A bar with its share in words. */
export function Progress({ done, total, label }: { done: number; total: number; label: string }) {
  return (
    <span class="progress">
      <progress max={Math.max(1, total)} value={done} aria-label={label} />
      <span class="soft">{percent(done, total)}</span>
    </span>
  );
}
