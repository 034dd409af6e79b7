// How something failed and what to do next, said where it happened.
import type { Signal } from "@preact/signals";
import type { ApiError } from "../api/rpc";
import { words } from "../state/notices";

/** One sentence of what happened, one of what to do; nothing when all is well. */
export function Problem({ of }: { of: Signal<ApiError | null> }) {
  const problem = of.value;
  const said = problem ? words(problem) : null;
  return (
    <div class="problem-place" role="alert">
      {said && (
        <p class="problem">
          <span dir="auto">{said.text}</span>
          {said.hint && <span class="problem-next" dir="auto"> {said.hint}</span>}
        </p>
      )}
    </div>
  );
}
