"""Figures about SIGKILL: of the primary, of a worker that has taken nothing, of a busy worker."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time

from figures import NOTHING, Figure, Options, Outcome, Row, each_side, judge, milliseconds
from gunicorns import OURS, BenchError, Server, Side
from load import Load, in_threads, try_once

WORKERS = 4
ARRIVING = 12
ORPHAN_SECONDS = 1.0
SUCCESSOR_SECONDS = 10.0


def primary(side: Side, options: Options) -> list[Outcome]:
    """Time from SIGKILL of the primary to the end of the last worker, with a long request in flight."""
    times: list[float] = []
    for _ in range(options.scaled(8, 2)):
        with Server(side, WORKERS) as server:
            threading.Thread(target=try_once, args=(server.port, "/sleep/8"), daemon=True).start()
            time.sleep(0.2 + random.random())  # workers may look for their parent once a second
            server.send_signal(signal.SIGKILL)
            gone = server.seconds_until_gone(limit=12.0)
        if gone is None:
            return [Outcome("workers left after 12 s", judge(False))]
        times.append(gone)
    text = f"{milliseconds(statistics.median(times))}, longest {milliseconds(max(times))}"
    return [Outcome(text, judge(max(times) < ORPHAN_SECONDS))]


def measure_primary(options: Options) -> list[Row]:
    title = "SIGKILL of the primary: last worker gone after"
    return each_side([(title, "< 1000 ms")], primary, options)


def kill_frozen_worker(server: Server) -> tuple[int, int, float]:
    """Freeze a worker, let connections arrive, kill it.

    A frozen worker takes nothing, so every connection must be answered in the end.
    Returns how many were answered before the kill, in all, and the moment of the kill.
    """
    answered: list[float] = []

    def arrive() -> None:
        if try_once(server.port) is not None:
            answered.append(time.monotonic())

    victim = server.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    time.sleep(0.05)
    clients = threading.Thread(target=in_threads, args=(ARRIVING, arrive))
    clients.start()
    time.sleep(0.5)
    before = len(answered)
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    clients.join(30.0)
    return before, len(answered), killed


def is_told_in_order(server: Server, since: float) -> bool:
    """Whether the primary reported `disconnect`, then `exit(worker, None, "SIGKILL")`."""
    told = [event for event in server.events(since) if event["event"] in ("disconnect", "exit")]
    names = [event["event"] for event in told]
    return names == ["disconnect", "exit"] and told[1]["code"] is None and told[1]["signal"] == "SIGKILL"


def frozen(side: Side, options: Options) -> list[Outcome]:
    """Connections lost with a killed worker that had taken none, its events, its successor."""
    rounds = options.scaled(10, 3)
    before, lost, in_order = [], 0, 0
    successors: list[float] = []
    with Server(side, 3) as server:
        for _ in range(rounds):
            early, answered, killed = kill_frozen_worker(server)
            before.append(early)
            lost += ARRIVING - answered
            successors.append(server.wait_for_listening(1, killed, SUCCESSOR_SECONDS) - killed)
            in_order += side == OURS and is_told_in_order(server, killed)
            time.sleep(0.2)
    told = f"{in_order} of {rounds}" if side == OURS else NOTHING
    successor = f"{milliseconds(statistics.median(successors))}, longest {milliseconds(max(successors))}"
    text = f"{lost} of {ARRIVING * rounds} lost, {min(before)} or more of {ARRIVING} answered before the kill"
    return [
        Outcome(text, judge(lost == 0 and min(before) >= ARRIVING - 1)),
        Outcome(told, judge(in_order == rounds)),
        Outcome(successor),
    ]


def measure_frozen(options: Options) -> list[Row]:
    return each_side(
        [
            ("SIGKILL of a worker that was stopped before 12 connections arrived", "0 lost"),
            ('its events: disconnect, then exit(worker, None, "SIGKILL")', "always"),
            ("its successor is listening after", "reported"),
        ],
        frozen,
        options,
    )


def seconds_until_all_answer(load: Load, killed: float, workers: set[str]) -> float | None:
    """From the kill to the first answer of the last of the wanted workers."""
    first: dict[str, float] = {}
    for record in load.records:
        if record.started > killed and record.body in workers:
            first[record.body] = min(record.ended, first.get(record.body, record.ended))
    return max(first.values()) - killed if set(first) == workers else None


def under_load(side: Side, options: Options) -> list[Outcome]:
    """Requests that fail when a busy worker is killed, and how many of them no application saw.

    A request that never reached the application may still have been taken by the worker: it reads and
    parses first. So the second number is an upper bound of what the worker had not taken.
    """
    kills = options.scaled(10, 3)
    times: list[float] = []
    with Server(side, WORKERS) as server:
        with Load(server.port, 16, keep_alive=False, marked=True, limit=kills * 10.0) as load:
            time.sleep(1.0)
            for _ in range(kills):
                killed = time.monotonic()
                os.kill(server.workers()[0], signal.SIGKILL)
                server.wait_for_listening(1, killed, SUCCESSOR_SECONDS)
                time.sleep(0.7)
                took = seconds_until_all_answer(load, killed, {str(pid) for pid in server.workers()})
                if took is None:
                    raise BenchError(f"{WORKERS} workers did not all answer again")
                times.append(took)
        entered = set(server.entered_file.read_text().split())
    failed = load.failures
    unseen = sum(record.path.rpartition("/")[2] not in entered for record in failed)
    text = f"{len(failed)} of {len(load.records)} failed at {kills} kills, {unseen} before the application"
    back = f"{milliseconds(statistics.median(times))}, longest {milliseconds(max(times))}"
    return [Outcome(text), Outcome(back)]


def measure_under_load(options: Options) -> list[Row]:
    return each_side(
        [
            ("SIGKILL of a busy worker, 16 clients with a connection for each request", "reported"),
            ("all four workers answer again after", "reported"),
        ],
        under_load,
        options,
    )


FIGURES = [
    Figure("primary-kill", measure_primary),
    Figure("worker-kill", measure_frozen),
    Figure("worker-kill-load", measure_under_load),
]
