// JSON-RPC calls to the program on this machine, and their errors.
import { heedStatus, sessionHeaders } from "./session";

/** A call that failed: `code` is for programs, `message` and `hint` are for people. */
export class ApiError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly retryAfterMs: number | null;

  constructor(code: string, message: string, hint = "", retryAfterMs: number | null = null) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The code of an error that no answer came for. */
export const NO_ANSWER = "PAGE_OFFLINE";
/** The code of an error of a session that is over, locked or paused. */
export const NO_SESSION = "PAGE_SESSION";

interface Answer<T> {
  result?: T;
  error?: {
    message: string;
    data?: { code: string; hint: string; retry_after_ms?: number | null };
  };
}

let lastId = 0;

/** Calls a method with parameters by name. Throws `ApiError`. */
export async function rpc<T>(method: string, params: object = {}, signal?: AbortSignal): Promise<T> {
  const id = ++lastId;
  const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
  const response = await post(body, signal);
  if (!heedStatus(response.status)) throw new ApiError(NO_SESSION, "");
  if (!response.ok) throw new ApiError("HTTP", `${response.status}`);
  const answer = (await response.json()) as Answer<T>;
  if (answer.error) {
    const { message, data } = answer.error;
    throw new ApiError(data?.code ?? "RPC", message, data?.hint, data?.retry_after_ms ?? null);
  }
  return answer.result as T;
}

/** A key under which a call that changes something is done once, however often it is said. */
export function onceKey(): string {
  return crypto.randomUUID();
}

async function post(body: string, signal?: AbortSignal): Promise<Response> {
  try {
    return await fetch("/rpc", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...sessionHeaders() },
      body,
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(NO_ANSWER, "");
  }
}
