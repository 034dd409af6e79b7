#!/usr/bin/env python3
"""A bot that says what it hears: accepts who writes first, answers each message once.

Start `conclave daemon`, then: echo_bot.py ~/.local/share/conclave/default/daemon.sock
"""

import json
import socket
import sys
import time


class Conclave:
    """JSON-RPC over the daemon's socket: one JSON a line, there and back."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self.lines.readline() or '{"error": "the daemon has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


def echo(conclave, chat):
    """Answers what came into `chat` since it was read last."""
    # Read before answered: a bot that is killed in between says nothing twice.
    count = conclave.call("messages.read", chat=chat)["count"]
    history = conclave.call("messages.history", chat=chat, limit=1000)["messages"]
    # What came after that is not read yet, and has its turn in the next round.
    heard = [message for message in history if message["read"] and not message["own"]]
    for message in heard[max(0, len(heard) - count) :]:
        conclave.call("messages.send", to=chat, text=message["text"], wait="queued")


def main():
    conclave = Conclave(sys.argv[1])
    print("listening", flush=True)
    while True:
        for request in conclave.call("requests.list")["requests"]:
            conclave.call("requests.accept", chat=request["chat"])
        for chat in conclave.call("messages.unread")["chats"]:
            echo(conclave, chat["chat"])
        time.sleep(0.2)  # the daemon does not tell of news by itself: asked again


if __name__ == "__main__":
    main()
