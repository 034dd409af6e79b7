// The beginning of a test: a folder, a server, people with accounts, a Chromium; all of it ends with the test.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import nodeTest from "node:test";

import { openTab, startChromium } from "./browser.mjs";
import { Person } from "./person.mjs";
import { Server } from "./server.mjs";
import { until } from "./until.mjs";

const open = new WeakMap();

/** A test of the name, which has one scene at most; when it fails, the scene leaves what helps to see why. */
export function test(name, work) {
  nodeTest(name, async (context) => {
    try {
      await work(context);
    } catch (error) {
      await open.get(context)?.explain();
      throw error;
    }
  });
}

/** One world for one test. After a failure its folder is kept, with a picture of each tab. */
export class Scene {
  /** A server, and people who are registered under the names given; `test` is the test's context. */
  static async open(test, names = []) {
    const scene = new Scene();
    const base = process.env.CONCLAVE_FOLDER ?? tmpdir();
    scene.folder = await mkdtemp(path.join(base, "conclave-page-"));
    scene.people = [];
    scene.tabs = [];
    open.set(test, scene);
    test.after(() => scene.close());
    scene.server = await Server.start(scene.folder);
    for (const name of names) await scene.person(name);
    return scene;
  }

  /** Somebody new, registered by commands. They are shown under the same name with a capital. */
  async person(name) {
    const person = this.newcomer(name);
    await person.register(this.server, person.shown);
    return person;
  }

  /** Somebody without an account. */
  newcomer(name, identifier) {
    const person = new Person(this.folder, name, identifier);
    this.people.push(person);
    this[name] = person;
    return person;
  }

  /** The people know each other: everybody after the first has accepted the first one's request. */
  async acquaint(first, ...others) {
    for (const other of others) {
      await first.call("messages.send", { to: other.identifier, text: `Hello ${other.shown}` });
      await until(`${other.name} has a request`, async () => {
        const { requests } = await other.call("requests.list");
        return requests.length > 0;
      });
      await other.call("requests.accept", { chat: first.identifier });
      await other.newest(first.identifier, "the greeting", (row) => row.text.startsWith("Hello"));
    }
  }

  /** The tab of `person` with the page open, in a browser context of their own. */
  async open(person, options) {
    this.chromium ??= await startChromium();
    const tab = await openTab(this.chromium, options);
    this.tabs.push(tab);
    const url = person.daemon ? await person.ticket() : await person.startPage();
    tab.home = url;
    await tab.goto(url);
    return tab;
  }

  /** Nothing went wrong in any tab so far: no error, no dialog, no request to elsewhere. */
  expectNoWrongs() {
    assert.deepEqual(this.tabs.flatMap((tab) => tab.wrongs), []);
  }

  /** After a failure: pictures of all tabs, and what went wrong in them. */
  async explain() {
    this.isKept = true;
    console.log(`the folder is kept: ${this.folder}`);
    for (const [number, tab] of this.tabs.entries()) {
      for (const wrong of tab.wrongs) console.log(`tab ${number}: ${wrong}`);
      const picture = path.join(this.folder, `tab-${number}.png`);
      await tab.screenshot({ path: picture, timeout: 5_000 }).catch(() => {});
    }
  }

  /** Ends everything that was started, in the order in which nothing complains. */
  async close() {
    await this.chromium?.close();
    for (const person of this.people) await person.stop();
    await this.server?.stop();
    if (!this.isKept) await rm(this.folder, { recursive: true, force: true });
  }
}
