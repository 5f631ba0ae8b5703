"""Figures about HUP and TERM: under load, with a long request in flight, and right after a fork."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time

from figures import Figure, Options, Outcome, Row, each_side, judge, milliseconds
from gunicorns import BenchError, Server, Side
from load import Load, Record, Response, try_once

WORKERS = 3
CLIENTS = 16
GRACEFUL = ("--graceful-timeout", "6")  # bounds what a lost TERM costs a measurement
WAIT_SECONDS = 0.2
LONG_REQUEST_SECONDS = 4
END_SECONDS = 2.0
MILLISECONDS_AFTER_FORK = (0, 20, 50, 80, 100)


def tally(records: list[Record]) -> str:
    """Failed requests, with how many were the first on their connection, and the reasons."""
    failed = [record for record in records if record.failure]
    if not failed:
        return f"0 of {len(records)} failed"
    fresh = sum(record.fresh for record in failed)
    reasons = ", ".join(sorted({record.failure for record in failed}))
    return f"{len(failed)} of {len(records)} failed ({reasons}; {fresh} on a new connection)"


def hup_under_load(side: Side, options: Options) -> list[Outcome]:
    """Failed requests of clients that obey `Connection: close` while the server reloads several times."""
    outcomes = []
    for keep_alive in (True, False):
        with (
            Server(side, WORKERS, *GRACEFUL) as server,
            Load(server.port, CLIENTS, keep_alive=keep_alive, limit=90.0) as load,
        ):
            for _ in range(options.scaled(5, 2)):
                time.sleep(1.0)
                began = time.monotonic()
                server.send_signal(signal.SIGHUP)
                server.wait_for_listening(WORKERS, began, limit=15.0)
                time.sleep(1.0)
        outcomes.append(Outcome(tally(load.records), judge(not load.failures)))
    return outcomes


def measure_hup(options: Options) -> list[Row]:
    return each_side(
        [
            ("HUPs under load, keep-alive clients that obey Connection: close", "0 failed"),
            ("the same, a connection for each request", "0 failed"),
        ],
        hup_under_load,
        options,
    )


def hup_while_busy(server: Server) -> tuple[Load, bool]:
    """Start a long request, then HUP under a light load; returns that, and if the request was answered."""
    answers: list[Response | None] = []

    def ask() -> None:
        answers.append(try_once(server.port, f"/sleep/{LONG_REQUEST_SECONDS}"))

    request = threading.Thread(target=ask, daemon=True)
    request.start()
    time.sleep(0.3)
    with Load(server.port, 4, keep_alive=False, pause=0.005) as load:
        time.sleep(0.3)
        server.send_signal(signal.SIGHUP)
        request.join(LONG_REQUEST_SECONDS + 10.0)
        time.sleep(0.5)
    return load, answers != [] and answers[0] is not None


def hup_wait(side: Side, options: Options) -> list[Outcome]:
    """The longest wait of other clients during a HUP with a 4 s request in flight."""
    longest: list[float] = []
    failures, long_answers = 0, 0
    rounds = options.scaled(3, 1)
    with Server(side, WORKERS, *GRACEFUL) as server:
        for _ in range(rounds):
            load, answered = hup_while_busy(server)
            longest.append(max(record.ended - record.started for record in load.records))
            failures += len(load.failures)
            long_answers += answered
    waits = ", ".join(milliseconds(wait) for wait in longest)
    text = f"{waits}; {failures} failed, {long_answers} of {rounds} long requests answered"
    met = max(longest) < WAIT_SECONDS and failures == 0 and long_answers == rounds
    return [Outcome(text, judge(met))]


def measure_hup_wait(options: Options) -> list[Row]:
    title = "HUP with a 4 s request in flight: longest wait of other clients, each round"
    return each_side([(title, "< 200 ms")], hup_wait, options)


def term_under_load(side: Side, options: Options) -> list[Outcome]:
    """Requests without an answer on connections that were established, around a TERM; and its end.

    A refused connection is no failure: the server said that it is gone.
    """
    outcomes = []
    for keep_alive in (True, False):
        records: list[Record] = []
        times: list[float] = []
        for _ in range(options.scaled(5, 2)):
            with (
                Server(side, WORKERS, *GRACEFUL) as server,
                Load(server.port, CLIENTS, keep_alive=keep_alive, limit=20.0, until_refused=True) as load,
            ):
                time.sleep(1.0)
                server.send_signal(signal.SIGTERM)
                gone = server.seconds_until_gone(limit=15.0)
                load.join()
            if gone is None:
                raise BenchError("the server did not end within 15 s of TERM")
            times.append(gone)
            records += load.records
        failed = any(record.failure for record in records)
        end = f"ended after {milliseconds(statistics.median(times))}, at most {milliseconds(max(times))}"
        outcomes.append(Outcome(f"{tally(records)}; {end}", judge(not failed)))
    return outcomes


def measure_term(options: Options) -> list[Row]:
    return each_side(
        [
            ("TERM under load, keep-alive clients that obey Connection: close", "0 failed"),
            ("the same, a connection for each request", "0 failed"),
        ],
        term_under_load,
        options,
    )


def wait_for_fork(server: Server, known: set[int]) -> None:
    """Return as soon as the primary has a child that was not there before."""
    deadline = time.monotonic() + 10.0
    while not set(server.workers()) - known:
        if time.monotonic() > deadline:
            raise BenchError("no worker was forked within 10 s")


def term_after_fork(side: Side, options: Options) -> list[Outcome]:
    """Time from a TERM shortly after a fork to the end of the whole server."""
    longest: dict[int, float] = {}
    for delay in MILLISECONDS_AFTER_FORK:
        for _ in range(options.scaled(4, 1)):
            with Server(side, WORKERS, *GRACEFUL) as server:
                known = set(server.workers())
                os.kill(min(known), signal.SIGKILL)
                wait_for_fork(server, known)
                time.sleep(delay / 1000)
                server.send_signal(signal.SIGTERM)
                gone = server.seconds_until_gone(limit=15.0)
            if gone is None:
                raise BenchError(f"the server did not end within 15 s of a TERM {delay} ms after a fork")
            longest[delay] = max(gone, longest.get(delay, 0.0))
    text = ", ".join(f"{delay} ms: {seconds:.2f} s" for delay, seconds in longest.items())
    return [Outcome(text, judge(max(longest.values()) < END_SECONDS))]


def measure_term_after_fork(options: Options) -> list[Row]:
    title = "TERM so many ms after a worker was forked: longest time to the end"
    return each_side([(title, "< 2 s each")], term_after_fork, options)


FIGURES = [
    Figure("hup-load", measure_hup),
    Figure("hup-wait", measure_hup_wait),
    Figure("term-load", measure_term),
    Figure("term-after-fork", measure_term_after_fork),
]
