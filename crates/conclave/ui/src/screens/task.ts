// A call that a person waits for: whether it runs, how it failed, what it gave.
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiError } from "../api/rpc";
import { watch } from "../state/live";

/** Work that a person began and waits for. */
export interface Task {
  /** Whether it runs now. */
  busy: Signal<boolean>;
  /** How the last try failed. */
  problem: Signal<ApiError | null>;
  /** Runs `work`, unless something runs already; whether it went well. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
}

/** A problem of whatever was thrown. */
export function asProblem(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const words = thrown instanceof Error ? thrown.message : String(thrown);
  return new ApiError("BROKEN", words, "", null);
}

/** One thing at a time, with its problem kept until the next try. */
export function useTask(): Task {
  const busy = useSignal(false);
  const problem = useSignal<ApiError | null>(null);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    if (busy.value) return false;
    busy.value = true;
    problem.value = null;
    try {
      await work();
      return true;
    } catch (thrown) {
      problem.value = asProblem(thrown);
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy, problem, run };
}

/** Something that a screen shows as soon as it is there. */
export interface Loaded<T> {
  /** What came; null before. */
  data: Signal<T | null>;
  /** How the last try failed. */
  problem: Signal<ApiError | null>;
  /** Looks again; what is shown stays until it is there. */
  reload: () => Promise<void>;
}

/** Loads when the screen opens and when `key` changes; an answer that comes too late is dropped. */
export function useLoad<T>(load: () => Promise<T>, key: string): Loaded<T> {
  const data = useSignal<T | null>(null);
  const problem = useSignal<ApiError | null>(null);
  const newest = useRef(0);
  const reload = async (): Promise<void> => {
    newest.current += 1;
    const mine = newest.current;
    try {
      const got = await load();
      if (mine !== newest.current) return;
      data.value = got;
      problem.value = null;
    } catch (thrown) {
      if (mine === newest.current) problem.value = asProblem(thrown);
    }
  };
  useEffect(() => {
    void reload();
    return () => {
      newest.current += 1;
    };
  }, [key]);
  return { data, problem, reload };
}

/** Looks again when something of these kinds came; `chat` leaves out what other chats tell. */
export function useFresh(kinds: readonly string[], reload: () => Promise<void>, chat = ""): void {
  useEffect(
    () =>
      watch((event) => {
        if (!kinds.includes(event.type)) return;
        const told = "chat" in event ? event.chat : undefined;
        const id = typeof told === "object" ? (told as { id?: string }).id : told;
        if (chat === "" || id === chat) void reload();
      }),
    [chat],
  );
}

/** Seconds until `end_ms`, counted down; 0 when it is over. */
export function useCountdown(endMs: number): Signal<number> {
  const left = () => Math.max(0, Math.ceil((endMs - Date.now()) / 1000));
  const seconds = useSignal(left());
  useEffect(() => {
    seconds.value = left();
    const timer = setInterval(() => {
      seconds.value = left();
      if (seconds.value === 0) clearInterval(timer);
    }, 250);
    return () => clearInterval(timer);
  }, [endMs]);
  return seconds;
}
