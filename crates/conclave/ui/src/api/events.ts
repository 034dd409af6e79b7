// One stream of events from the program, taken up again where it broke.
import type { LiveRow, ToldRow } from "./rows";
import { heedStatus, sessionHeaders } from "./session";

/** Who is told what comes. */
export interface Listener {
  /** Something that is kept; it has a number. */
  told(row: ToldRow): void;
  /** Something of the moment. */
  live(row: LiveRow): void;
  /** The stream is open (again), or broke. */
  open(isOpen: boolean): void;
  /** Too much was missed: load everything anew. */
  missed(): void;
}

const WAITS_MS = [200, 500, 1000, 2000, 5000];

/** Follows events behind `cursor` until the signal is aborted or the session ends. */
export async function follow(cursor: number, listener: Listener, signal: AbortSignal): Promise<void> {
  let after = cursor;
  let tries = 0;
  while (!signal.aborted) {
    try {
      const response = await fetch(`/events?after=${after}`, { headers: sessionHeaders(), signal });
      if (!heedStatus(response.status)) return;
      if (response.status === 410) {
        listener.missed();
        return;
      }
      if (response.ok && response.body) {
        tries = 0;
        listener.open(true);
        await readFrames(response.body, (frame) => {
          after = deliver(frame, listener) ?? after;
        });
      }
    } catch {
      // A broken stream is opened again below.
    }
    if (signal.aborted) return;
    listener.open(false);
    await pause(WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)] ?? 5000, signal);
  }
}

/** A frame of a stream of server-sent events. */
export interface Frame {
  id: string;
  event: string;
  data: string;
}

/** Cuts text into frames as it comes; what is not whole yet is kept for the next piece. */
export class FrameCutter {
  private rest = "";

  /** The frames that are whole with this piece. Comments give none. */
  push(piece: string): Frame[] {
    const blocks = (this.rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parseFrame).filter((frame) => frame.data !== "");
  }
}

function parseFrame(block: string): Frame {
  const frame: Frame = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "data") frame.data += frame.data === "" ? value : `\n${value}`;
    else if (field === "id" || field === "event") frame[field] = value;
  }
  return frame;
}

function deliver(frame: Frame, listener: Listener): number | undefined {
  if (frame.event === "live") {
    listener.live(JSON.parse(frame.data) as LiveRow);
    return undefined;
  }
  if (frame.id === "") return undefined;
  listener.told(JSON.parse(frame.data) as ToldRow);
  return Number(frame.id);
}

async function readFrames(body: ReadableStream<Uint8Array>, take: (frame: Frame) => void) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const cutter = new FrameCutter();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    cutter.push(decoder.decode(value, { stream: true })).forEach(take);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    const now = () => {
      clearTimeout(timer);
      done();
    };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true });
  });
}
