#!/usr/bin/env python3
"""A bot that writes what it hears to a file, each message once, and answers questions, each once.

It, the daemon and the server may be killed at any moment: it goes on behind the last whole line of its file.

Start `conclave daemon`, then: journal_bot.py ~/.local/share/conclave/default/daemon.sock FILE
"""

import json
import os
import sys
import time

from echo_bot import Conclave

# The daemon is looked for again after this time, in seconds.
PAUSE = 0.05


def last_cursor(path):
    """The cursor of the last whole line; half a line, of a bot that was killed, is cut off."""
    with open(path, "ab+") as file:
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        file.truncate(len(whole))
    lines = whole.splitlines()
    return json.loads(lines[-1])["cursor"] if lines else 0


def follow(conclave, path, cursor):
    """Writes down what comes behind `cursor`, until the daemon ends."""
    while True:
        page = conclave.call("events.list", consumer="journal", after=cursor, wait_ms=60_000)
        with open(path, "a", encoding="utf-8") as file:
            for row in page["events"]:
                event = row["event"]
                if event["type"] != "message" or event["own"]:
                    continue
                if event["text"].endswith("?"):
                    answer, key = f"answer to {event['text']}", f"answer-{row['cursor']}"
                    conclave.call("messages.send", to=event["chat"], text=answer, wait="queued", idempotency_key=key)
                file.write(json.dumps({"cursor": row["cursor"], "text": event["text"]}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        cursor = page["cursor"]
        conclave.call("events.ack", consumer="journal", cursor=cursor)


def main():
    path = sys.argv[2]
    while True:
        try:
            conclave = Conclave(sys.argv[1])
            # A new consumer begins here; an old one stays where it was.
            conclave.call("events.list", consumer="journal", limit=1)
            print("listening", flush=True)
            follow(conclave, path, last_cursor(path))
        except OSError:
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
