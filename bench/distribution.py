"""Figures about who gets a connection: held ones, and those that arrive while a worker stands still."""

from __future__ import annotations

import threading
import time
from collections import Counter

from figures import NOTHING, Figure, Options, Outcome, Row, each_side, judge, milliseconds
from gunicorns import Server, Side
from load import Connection, in_threads, try_once

HELD = 160
WORKERS = 8
BLOCK_SECONDS = 2.0
ARRIVING = 12
PROMPT_SECONDS = 0.5


def hold_one_by_one(port: int) -> tuple[list[Connection], list[str]]:
    """Open the connections one after the other, each with a request; returns them and the pids."""
    connections, pids = [], []
    for _ in range(HELD):
        connection = Connection(port)
        connections.append(connection)
        pids.append(connection.get("/").body.decode())
    return connections, pids


def hold_in_a_burst(port: int) -> tuple[list[Connection], list[str]]:
    """Connect them all before the first request is sent."""
    connections = [Connection(port) for _ in range(HELD)]
    return connections, [connection.get("/").body.decode() for connection in connections]


def held(side: Side, options: Options) -> list[Outcome]:
    """How many of 160 held keep-alive connections each of 8 workers has, the extremes of some runs."""
    outcomes = []
    for hold in (hold_one_by_one, hold_in_a_burst):
        counts: list[int] = []
        for _ in range(options.scaled(3, 1)):
            with Server(side, WORKERS, "--keep-alive", "60") as server:
                connections, pids = hold(server.port)
                for connection in connections:
                    connection.close()
            held_by = Counter(pids)
            counts += [*held_by.values(), *[0] * (WORKERS - len(held_by))]
        fewest, most = min(counts), max(counts)
        text = f"{most} each" if fewest == most else f"{fewest} to {most}"
        met = fewest == most == HELD // WORKERS
        outcomes.append(Outcome(text, judge(met) if hold is hold_one_by_one else ""))
    return outcomes


def measure_held(options: Options) -> list[Row]:
    return each_side(
        [
            ("160 held connections over 8 workers, opened one by one: per worker", "20 each"),
            ("the same, all connected before the first request: per worker", "reported"),
        ],
        held,
        options,
    )


def blocked(side: Side, options: Options) -> list[Outcome]:
    """What happens to 12 connections while one of three workers stands still for 2 s."""
    waits: list[float] = []

    def arrive() -> None:
        began = time.monotonic()
        if try_once(server.port) is not None:
            waits.append(time.monotonic() - began)

    with Server(side, 3) as server:
        blocker = threading.Thread(target=try_once, args=(server.port, f"/block/{BLOCK_SECONDS}"))
        blocker.start()
        time.sleep(0.3)
        in_threads(ARRIVING, arrive)
        blocker.join()
    prompt = [wait for wait in waits if wait < PROMPT_SECONDS]
    slowest = milliseconds(max(prompt)) if prompt else NOTHING
    late = ARRIVING - len(prompt)
    text = f"{len(prompt)} at once (slowest {slowest}), {late} waited, {len(waits)} answered"
    return [Outcome(text, judge(len(prompt) >= ARRIVING - 1 and len(waits) == ARRIVING))]


def measure_blocked(options: Options) -> list[Row]:
    title = "12 connections while one of three workers is blocked for 2 s"
    return each_side([(title, "11 at once")], blocked, options)


FIGURES = [Figure("held", measure_held), Figure("blocked", measure_blocked)]
