// Other pages, hosts and users of this machine reach for the page: they get nothing and change nothing.

import assert from "node:assert/strict";

import { openTab, startChromium } from "../support/browser.mjs";
import { home } from "../support/page.mjs";
import { Scene, test } from "../support/scene.mjs";
import { Stranger } from "../support/stranger.mjs";
import { until } from "../support/until.mjs";

const SECRET = "the key lies under the third flower pot";

/** Browsers begin to keep strangers away from this machine themselves; here the page has to do it. */
const TRUSTING = "--disable-features=LocalNetworkAccessChecks";

/** Anna and Ben with a word that nobody else may see, and Anna's page open. */
async function anna(test, flags = []) {
  const scene = await Scene.open(test, ["anna", "ben"]);
  await scene.acquaint(scene.anna, scene.ben);
  await scene.ben.call("messages.send", { to: scene.anna.identifier, text: SECRET });
  scene.chromium = await startChromium([TRUSTING, ...flags]);
  scene.tab = await scene.open(scene.anna);
  await home(scene.tab).chat(scene.ben).waitFor();
  scene.origin = new URL(scene.tab.home).origin;
  return scene;
}

/** A second tab in Anna's own browser: it has her cookies. */
async function beside(scene) {
  return scene.tab.context().newPage();
}

// A name of somebody else that comes to point at this machine (DNS rebinding) is not answered: 421, whatever the path.
test("a rebound name gets nothing", async (t) => {
  const flags = ["--host-resolver-rules=MAP rebound.example 127.0.0.1"];
  const scene = await anna(t, flags);
  const port = new URL(scene.origin).port;
  const foreign = `http://rebound.example:${port}`;
  const tab = await beside(scene);
  // What runs in this tab now runs as a script of the stranger, who had the name before.
  const direct = await tab.goto(`${foreign}/`);
  assert.equal(direct.status(), 421);
  const answers = await tab.evaluate(async (token) => {
    const call = { jsonrpc: "2.0", id: 1, method: "chats.list", params: {} };
    const json = { "content-type": "application/json", "x-conclave-token": token };
    const ask = async (path, method, body) => {
      const answer = await fetch(path, { method, body, headers: json, credentials: "include" });
      return [path, answer.status, await answer.text()];
    };
    return [
      await ask("/", "GET"),
      await ask("/events", "GET"),
      await ask("/rpc", "POST", JSON.stringify(call)),
      await ask("/auth", "POST", JSON.stringify({ ticket: "0".repeat(64) })),
      await ask("/upload?name=a&type=b", "POST", "a"),
    ];
  }, scene.tab.token);
  for (const [path, status, text] of answers) {
    assert.equal(status, 421, `${path}: ${text}`);
    assert.ok(!text.includes(SECRET) && !text.includes("conclave_"), `${path}: ${text}`);
  }
});

// A page of another port of this machine shares the browser's cookies with ours, and can neither read nor do anything.
test("a page of another origin gets nothing", async (t) => {
  const scene = await anna(t);
  const stranger = await Stranger.open(t);
  const tab = await beside(scene);
  const statuses = new Map();
  tab.on("response", (answer) => {
    const { origin, pathname } = new URL(answer.url());
    if (origin === scene.origin) statuses.set(`${answer.request().method()} ${pathname}`, answer.status());
  });
  await tab.goto(stranger.serve("/lure"));
  const said = await tab.evaluate(reachFor, { page: scene.origin, to: scene.ben.identifier });
  assert.deepEqual(said, {
    calls: "refused",
    plain: "refused",
    events: "opaque or refused",
    script: "error",
    frame: "closed",
  });
  await until("the answer to the frame was seen", () => statuses.has("GET /"));
  for (const [asked, status] of statuses) assert.equal(status, 403, asked);
  const { messages } = await scene.ben.call("messages.history", { chat: scene.anna.identifier });
  assert.ok(!messages.some((row) => row.text === "forged"), "a stranger's page has sent a message");
});

/** Runs in the stranger's page: every way that a page has to reach another origin, and what came of it. */
async function reachFor({ page, to }) {
  const call = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "messages.send",
    params: { to, text: "forged" },
  });
  const refused = (promise) => promise.then((answer) => answer.type, () => "refused");
  const post = { method: "POST", body: call, credentials: "include" };
  const json = { "content-type": "application/json", "x-conclave-token": "0" };
  const calls = await refused(fetch(`${page}/rpc`, { ...post, headers: json }));
  const plain = await refused(fetch(`${page}/rpc`, { ...post, mode: "no-cors" }));
  const stop = new AbortController();
  const events = await refused(
    fetch(`${page}/events`, { mode: "no-cors", credentials: "include", signal: stop.signal }),
  );
  stop.abort();
  const loaded = (node) =>
    new Promise((resolve) => {
      node.onload = () => resolve("loaded");
      node.onerror = () => resolve("error");
      document.body.append(node);
    });
  const script = await loaded(Object.assign(document.createElement("script"), { src: `${page}/` }));
  const frame = Object.assign(document.createElement("iframe"), { src: `${page}/` });
  await loaded(frame);
  let inside = "closed";
  try {
    if (frame.contentDocument) inside = "open";
  } catch {
    inside = "closed";
  }
  return {
    calls,
    plain,
    events: ["opaque", "refused"].includes(events) ? "opaque or refused" : events,
    script,
    frame: inside,
  };
}

// A frame around the page stays empty, and a window that somebody else opens cannot be looked into or steered.
test("nobody frames or steers the page", async (t) => {
  const scene = await anna(t);
  const stranger = await Stranger.open(t);
  const tab = await beside(scene);
  await tab.goto(
    stranger.serve("/frame", `<!doctype html><title>f</title><iframe src="${scene.origin}/"></iframe>`),
  );
  const frame = await until("the frame is there", () => tab.frames()[1]);
  await until("the frame is refused", async () => /^chrome-error:/.test(frame.url()));
  assert.equal(await frame.locator("#app").count(), 0, "the page runs in a frame");

  await tab.goto(stranger.serve("/opener"));
  const [opened] = await Promise.all([
    tab.context().waitForEvent("page"),
    tab.evaluate((page) => void (globalThis.opened = open(`${page}/`)), scene.origin),
  ]);
  // A window is empty, and its opener's, until it has the page.
  await opened.waitForURL(`${scene.origin}/`);
  assert.equal(await opened.evaluate(() => globalThis.opener), null);
  await until("the opener holds no window", () => tab.evaluate(() => globalThis.opened.closed));
});

// A program on another port is given the cookie by the browser; without the token of the tab it opens nothing.
test("a cookie from another port opens nothing", async (t) => {
  const scene = await anna(t);
  const stranger = await Stranger.open(t);
  const tab = await beside(scene);
  await tab.goto(stranger.serve("/lure"));
  const cookie = stranger.asked[0].headers.cookie;
  const port = new URL(scene.origin).port;
  assert.match(cookie ?? "", new RegExp(`conclave_${port}=`), "browsers give cookies to all ports");
  assert.equal(await tab.evaluate(() => document.cookie), "", "a script can read the cookie");
  const call = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "chats.list", params: {} });
  const headers = { cookie, origin: scene.origin, "content-type": "application/json" };
  const asked = [
    ["/rpc", { method: "POST", body: call, headers }],
    ["/rpc", { method: "POST", body: call, headers: { ...headers, "x-conclave-token": "0" } }],
    ["/events", { headers }],
    ["/upload?name=a&type=text/plain", { method: "POST", body: "a", headers }],
  ];
  for (const [path, options] of asked) {
    const answer = await fetch(scene.origin + path, options);
    const text = await answer.text();
    assert.ok([401, 403, 415].includes(answer.status), `${path}: ${answer.status} ${text}`);
    assert.ok(!text.includes(SECRET));
  }
  // The other way round: a cookie that the stranger plants does not become a session.
  const other = await openTab(scene.chromium);
  await other.context().addCookies([
    { name: `conclave_${port}`, value: cookie.split("=")[1], url: scene.origin },
  ]);
  await other.goto(`${scene.origin}/`);
  await home(other).ended().waitFor();
  assert.equal(await home(other).chat(scene.ben).count(), 0);
});

// The address works once: the fragment is gone from the first tab, and in a second browser it opens nothing.
test("a ticket opens one page, once", async (t) => {
  const scene = await anna(t);
  assert.equal(await scene.tab.evaluate(() => location.hash), "");
  assert.ok(!(await scene.tab.evaluate(() => history.state && JSON.stringify(history.state)))?.includes("t="));
  const other = await openTab(scene.chromium);
  await other.goto(scene.tab.home);
  await home(other).ended().waitFor();
  assert.equal(await home(other).chat(scene.ben).count(), 0);
  assert.equal(await other.getByText(SECRET).count(), 0);
  // Anna's own tab lives on, also over a reload.
  await scene.tab.reload();
  await home(scene.tab).chat(scene.ben).waitFor();
});
