// A web server of somebody else on this machine: serves the pages it is given and writes down who asked what.

import { createServer } from "node:http";

export class Stranger {
  /** Listens on a port of its own until the test ends. */
  static async open(test) {
    const stranger = new Stranger();
    stranger.asked = [];
    stranger.pages = new Map();
    stranger.listener = createServer((request, response) => {
      stranger.asked.push({ url: request.url, headers: request.headers });
      const page = stranger.pages.get(request.url.split("?")[0]);
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.writeHead(page === undefined ? 404 : 200);
      response.end(page ?? "");
    });
    await new Promise((resolve) => stranger.listener.listen(0, "127.0.0.1", resolve));
    test.after(() => {
      stranger.listener.closeAllConnections();
      stranger.listener.close();
    });
    stranger.port = stranger.listener.address().port;
    stranger.origin = `http://127.0.0.1:${stranger.port}`;
    return stranger;
  }

  /** From now on `path` answers `html`. */
  serve(path, html = "<!doctype html><title>stranger</title>") {
    this.pages.set(path, html);
    return this.origin + path;
  }

  /** Everything that was asked for but its own pages: what leaked. */
  leaks() {
    return this.asked
      .map(({ url }) => url)
      .filter((url) => !this.pages.has(url.split("?")[0]) && url !== "/favicon.ico");
  }
}
