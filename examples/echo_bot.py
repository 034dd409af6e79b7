#!/usr/bin/env python3
"""A bot that says what it hears: accepts who writes first, answers each message once, whatever is killed when.

Start `conclave daemon`, then: echo_bot.py ~/.local/share/conclave/default/daemon.sock
"""

import json
import socket
import sys


class Conclave:
    """JSON-RPC over the daemon's socket: one JSON a line, there and back."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        line = self.lines.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the daemon has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


def echo(conclave, cursor, event):
    """Answers one event. Told twice it is answered once: the second time under the same key."""
    if event["type"] == "request":
        # What it says comes as a message then.
        conclave.call("requests.accept", chat=event["chat"], idempotency_key=f"accept-{cursor}")
    elif event["type"] == "message" and not event["own"]:
        chat, text, key = event["chat"], event["text"], f"echo-{cursor}"
        conclave.call("messages.send", to=chat, text=text, wait="queued", idempotency_key=key)


def main():
    conclave = Conclave(sys.argv[1])
    page = conclave.call("events.list", consumer="echo")
    print("listening", flush=True)
    while True:
        for row in page["events"]:
            echo(conclave, row["cursor"], row["event"])
        # Done with: not told again, whoever ends in between.
        conclave.call("events.ack", consumer="echo", cursor=page["cursor"])
        page = conclave.call("events.list", consumer="echo", wait_ms=600_000)


if __name__ == "__main__":
    main()
