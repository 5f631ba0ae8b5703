"""messages.py KIND COUNT WORKERS ROUNDS: our side of the measurement; `messages.js` says what the kinds are."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from nodecluster_compat import cluster, process

KIND, COUNT, FORKS, ROUNDS = sys.argv[1], *map(int, sys.argv[2:5])
MEBIBYTE = "x" * (1 << 20)
PAUSE_SECONDS = 0.1


def note(event: str, **more: object) -> None:
    line = json.dumps({"time": time.monotonic(), "event": event, **more})
    with open(os.environ["BENCH_EVENTS"], "a", encoding="utf-8") as events:
        events.write(line + "\n")


def send_all(target: Any) -> None:
    """Send COUNT messages; when `send` says that the receiver is behind, wait until one more is on its way."""
    state = {"index": 0}

    def more(error: Exception | None = None) -> None:
        keeps_up = True
        while state["index"] < COUNT:
            message = {"index": state["index"], "text": "hello, cluster"}
            state["index"] += 1
            if not keeps_up:
                target.send(message, callback=more)
                return
            keeps_up = target.send(message)

    more()


class InPrimary:
    """Counts what comes, and says when it begins and ends."""

    def __init__(self) -> None:
        self.workers: list[Any] = []
        self.start = 0.0
        self.received = 0
        self.ready = 0
        self.ended = 0
        self.expected = FORKS if KIND == "broadcast" else COUNT

    def ask(self, text: str) -> None:
        self.workers[0].send({"index": self.received, "text": text})

    def next(self) -> None:
        note("begin")
        cluster.call_later(PAUSE_SECONDS, self.go)

    def go(self) -> None:
        self.received = 0
        self.start = time.monotonic()
        if KIND == "one-way":
            self.workers[0].send("go")
        elif KIND == "broadcast":
            for worker in self.workers:
                send_all(worker)
        else:
            self.ask(MEBIBYTE if KIND == "large" else "hello, cluster")

    def message(self, worker: Any, message: Any, handle: object = None) -> None:
        if message == "ready":
            self.ready += 1
            if self.ready == FORKS:
                self.next()
            return
        self.received += 1
        if self.received == self.expected:
            note("end", seconds=time.monotonic() - self.start)
            self.ended += 1
            if self.ended < ROUNDS:
                self.next()
        elif KIND in {"round-trip", "large"}:
            self.ask(message["text"])


class InWorker:
    """Answers."""

    def __init__(self) -> None:
        self.received = 0

    def message(self, message: Any, handle: object = None) -> None:
        if message == "go":
            send_all(process)
        elif KIND != "broadcast":
            process.send(message)
        else:
            self.received += 1
            if self.received % COUNT == 0:
                process.send("all")


if cluster.is_primary:
    primary = InPrimary()
    cluster.on("message", primary.message)
    primary.workers = [cluster.fork() for _ in range(FORKS)]
else:
    process.on("message", InWorker().message)
    process.send("ready")
