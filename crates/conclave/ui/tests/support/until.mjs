// Waits for a condition: asks again and again until it holds, or says what did not come true.

import { setTimeout as pause } from "node:timers/promises";

/** How long anything may take on a busy machine, in ms. */
export const PATIENCE_MS = Number(process.env.CONCLAVE_PATIENCE_MS ?? 60_000);

/**
 * What `ask` answers once it is neither false, null nor undefined.
 * Throws an error that names `what` when the time is over, with the last error of `ask` as its cause.
 */
export async function until(what, ask, patienceMs = PATIENCE_MS) {
  const end = performance.now() + patienceMs;
  let cause;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) return answer;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) throw new Error(`did not come true: ${what}`, { cause });
    await pause(25);
  }
}
