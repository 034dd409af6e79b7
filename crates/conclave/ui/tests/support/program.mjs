// A program that a test started: its lines, its end, and its death when the test ends.

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import path from "node:path";

import { until } from "./until.mjs";

const living = new Set();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** The repository's top folder. */
export const root = fileURLToPath(new URL("../../../../../", import.meta.url));

/** The folder that holds `conclave` and `conclave-server`; `cargo xtask page` names it. */
export const programs = process.env.CONCLAVE_PROGRAMS ?? path.join(root, "target/debug");

/** Reads standard output line by line; standard error goes to a file. */
export class Program {
  /** Starts `name` with `words`; what it says on standard error is appended to the file `log`. */
  constructor(name, words, log, env = {}) {
    const errors = openSync(log, "a", 0o600);
    this.child = spawn(path.join(programs, name), words, {
      stdio: ["pipe", "pipe", errors],
      env: { ...process.env, ...env },
    });
    closeSync(errors);
    living.add(this.child);
    this.name = `${name} ${words.join(" ")}`;
    this.lines = [];
    this.code = undefined;
    const reader = createInterface({ input: this.child.stdout });
    reader.on("line", (line) => {
      this.lines.push(line);
      this.heard?.(line);
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => {
        living.delete(this.child);
        this.code = code ?? signal;
        resolve(this.code);
      });
    });
    this.ended.catch(() => {});
  }

  /** The first line from the line number `from` on that `wanted` likes. */
  async line(what, wanted, from = 0) {
    return until(`${this.name}: ${what}`, () => {
      const found = this.lines.slice(from).find(wanted);
      if (found === undefined && this.code !== undefined) {
        throw new Error(`${this.name} ended with ${this.code}`);
      }
      return found;
    });
  }

  /** Ends it with `signal`, and waits until it is gone; its exit code, or the signal that ended it. */
  async stop(signal = "SIGTERM") {
    if (this.code === undefined) this.child.kill(signal);
    return this.ended;
  }
}
