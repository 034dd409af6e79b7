// The messenger's server of a test: on loopback, in a folder of its own, stopped and started at will.

import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

import { Program, programs } from "./program.mjs";
import { until } from "./until.mjs";

const run = promisify(execFile);

export class Server {
  constructor(folder) {
    this.data = path.join(folder, "server");
    this.log = path.join(folder, "server.log");
    this.port = 0;
    this.codesRead = 0;
  }

  /** A server that listens. */
  static async start(folder) {
    const server = new Server(folder);
    await mkdir(server.data, { mode: 0o700 });
    await server.start();
    const words = ["address", "--data-dir", server.data];
    const { stdout } = await run(path.join(programs, "conclave-server"), words);
    server.address = stdout.trim();
    return server;
  }

  /** Starts it, again on the same port and folder after `stop`. */
  async start() {
    const before = (await readFile(this.log, "utf8").catch(() => "")).length;
    const words = ["serve", "--data-dir", this.data, "--listen", `127.0.0.1:${this.port}`];
    words.push("--otp", "console", "--registration", "open");
    this.program = new Program("conclave-server", words, this.log);
    this.codesRead = 0;
    this.port = await until("the server listens", async () => {
      const said = (await readFile(this.log, "utf8")).slice(before);
      if (this.program.code !== undefined) throw new Error(`the server ended: ${said}`);
      return said.match(/^listening on \S*:(\d+)/m)?.[1];
    });
  }

  /** The next code that was sent to `identifier`. */
  async codeFor(identifier) {
    const begin = `OTP for ${identifier}: `;
    const line = await this.program.line(
      `a code for ${identifier}`,
      (text) => text.startsWith(begin),
      this.codesRead,
    );
    this.codesRead = this.program.lines.indexOf(line, this.codesRead) + 1;
    return line.slice(begin.length).split(" ")[0];
  }

  /** Stops it as an operator does. */
  async stop() {
    await this.program.stop();
  }
}
