// Reads out what comes into the open chat, one sentence for each message.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { openChat } from "../state/chats";
import { watch } from "../state/live";
import { spoken } from "./spoken";

const KEPT = 3;

/** A place that only screen readers see. */
export function Announcer() {
  const said = useSignal<{ id: string; words: string }[]>([]);
  useEffect(
    () =>
      watch((event) => {
        if (event.type !== "message" || !("from" in event) || !("text" in event)) return;
        if (event.own || event.chat !== openChat.value) return;
        said.value = [...said.value, { id: event.id, words: spoken(event) }].slice(-KEPT);
      }),
    [],
  );
  return (
    <div class="visually-hidden" role="status" aria-live="polite" aria-atomic="false" data-testid="announcer">
      {said.value.map((one) => <p key={one.id}>{one.words}</p>)}
    </div>
  );
}
