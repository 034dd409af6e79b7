// Somebody with a profile: commands, calls over pipes, and the daemon that serves their page.

import { mkdir } from "node:fs/promises";
import path from "node:path";

import { Program } from "./program.mjs";
import { until } from "./until.mjs";

export class Person {
  /** A person without an account yet; the profile lies in `folder/name`. */
  constructor(folder, name, identifier = `${name}@example.org`) {
    this.name = name;
    this.shown = name[0].toUpperCase() + name.slice(1);
    this.identifier = identifier;
    this.data = path.join(folder, name);
    this.log = path.join(folder, `${name}.log`);
    this.calls = new Map();
    this.lastCall = 0;
  }

  /** Registers at `server` by commands, as `shown` name. */
  async register(server, shown) {
    const words = ["register", "--server", server.address, "--email", this.identifier];
    await this.run([...words, "--name", shown, "--no-passphrase"]);
    await this.run(["register", "confirm", await server.codeFor(this.identifier)]);
  }

  /** Starts a command in JSON mode. */
  start(words) {
    const before = ["-o", "json", "--no-input", "--data-dir", this.data];
    return new Program("conclave", [...before, ...words], this.log);
  }

  /** Runs a command that has to end with 0; its rows. */
  async run(words) {
    const program = this.start(words);
    program.child.stdin.end();
    const code = await program.ended;
    if (code !== 0) {
      throw new Error(`${this.name}: \`${words.join(" ")}\` ended with ${code}; see ${this.log}`);
    }
    return program.lines.map((line) => JSON.parse(line));
  }

  /** Starts the daemon with the page and answers the page's address, ticket and all. */
  async startPage(...words) {
    await mkdir(this.data, { mode: 0o700, recursive: true });
    await this.pipe?.stop();
    this.daemon = this.start(["--no-passphrase", "web", "--no-open", ...words]);
    const line = await this.daemon.line("the page's address", (text) => text.includes("#t="));
    return JSON.parse(line).url;
  }

  /** Another address of the page, with a fresh ticket, from the running daemon. */
  async ticket() {
    const rows = await this.run(["web", "--no-open"]);
    return rows.find((row) => row.url).url;
  }

  /** One call over the pipes of `conclave rpc`; the result, or an error that carries `code`. */
  async call(method, params = {}) {
    this.pipe ??= this.startPipe();
    const id = ++this.lastCall;
    const answer = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    this.pipe.child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    return answer;
  }

  startPipe() {
    const pipe = this.start(["rpc"]);
    pipe.child.stdin.on("error", () => {});
    pipe.heard = (line) => {
      const { id, result, error } = JSON.parse(line);
      const call = this.calls.get(id);
      this.calls.delete(id);
      if (error) call?.reject(Object.assign(new Error(error.message), { code: error.data?.code }));
      else call?.resolve(result);
    };
    pipe.ended.then((code) => {
      if (this.pipe === pipe) this.pipe = undefined;
      for (const { reject } of this.calls.values()) {
        reject(new Error(`${this.name}: the pipes ended with ${code}`));
      }
      this.calls.clear();
    });
    return pipe;
  }

  /** Waits until the newest message of `chat` is as `wanted` says, and answers its row. */
  async newest(chat, what, wanted) {
    return until(`${this.name} has ${what}`, async () => {
      const page = await this.call("messages.history", { chat, limit: 20 });
      const rows = page.messages ?? page;
      return rows.find(wanted);
    });
  }

  /** Ends the daemon and the pipes. */
  async stop() {
    await this.pipe?.stop();
    this.pipe = undefined;
    await this.daemon?.stop();
    this.daemon = undefined;
  }
}
