"""Two workers; one crashes and is revived; then SIGTERM, upon which all clean up."""

import os
import signal

from demo import say, say_as
from throng import throng

from nodecluster_compat import cluster, process


def master():
    say("starting")
    started = []

    def on_message(worker, message):
        say_as(f"P{worker.id}", message)
        started.append(worker)
        if len(started) == 2:
            cluster.workers[1].send("crash")
        if len(started) == 3:
            os.kill(process.pid, signal.SIGTERM)

    cluster.on("message", on_message)
    cluster.on("exit", lambda worker, code: say_as(f"P{worker.id}", "exit", code))
    process.on("exit", lambda code: say("exit", code))


def worker(number, disconnect):
    say("started as", number)

    def clean_up():
        say("cleans up")
        disconnect()

    process.on("SIGTERM", clean_up)
    process.on("message", lambda: process.exit(1))
    process.send("started")


throng(worker, master=master, count=2, lifetime=60_000, grace=5_000, signals=["SIGTERM"])
