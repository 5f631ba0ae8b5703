"""Processes: how fast a worker comes, what it weighs, how soon there is an answer again after a crash."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import procfs
from load import HOST, get_once
from sessions import BenchError

from comparison.contestants import HttpServer, Setup, http_server
from comparison.figures import NODE20, NODE24, NODES, OURS, STOCK, Line
from comparison.groups import Group, Run
from comparison.rounds import alternate

ANSWER_SECONDS = 20.0
ATTEMPT_SECONDS = 0.005
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
WARM_UP_REQUESTS = 200
FEW, MANY = 2, 8


@dataclass(frozen=True)
class Contestant:
    """A side, with or without `--preload`; Node always loads its program after the fork."""

    side: str
    preload: bool


@dataclass(frozen=True)
class Crash:
    """Milliseconds from the fork to `listening`, and from SIGKILL to the first answer."""

    to_listening: float
    to_answer: float


def first_answer(port: int) -> float:
    """The moment of the first answer: a new connection every 5 ms, since any one of them may hang or be refused."""
    deadline = time.monotonic() + ANSWER_SECONDS
    with selectors.DefaultSelector() as selector:
        try:
            while time.monotonic() < deadline:
                attempt(port, selector)
                until = time.monotonic() + ATTEMPT_SECONDS
                while (left := until - time.monotonic()) > 0:
                    if any(answered(key.fileobj, selector) for key, _ in selector.select(left)):
                        return time.monotonic()
        finally:
            for key in list(selector.get_map().values()):
                give_up(key.fileobj, selector)
    raise BenchError(f"no answer within {ANSWER_SECONDS:.0f} s of a SIGKILL")


def attempt(port: int, selector: selectors.BaseSelector) -> None:
    """One more connection with a request on it; nothing where it is refused."""
    client = socket.socket()
    try:
        client.connect((HOST, port))
        client.sendall(REQUEST)
    except OSError:
        client.close()
        return
    client.setblocking(False)
    selector.register(client, selectors.EVENT_READ)


def answered(client: object, selector: selectors.BaseSelector) -> bool:
    """Whether an answer began to come; a connection that ended without one is given up."""
    assert isinstance(client, socket.socket)
    try:
        found = client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        found = False
    if not found:
        give_up(client, selector)
    return found


def give_up(client: object, selector: selectors.BaseSelector) -> None:
    assert isinstance(client, socket.socket)
    selector.unregister(client)
    client.close()


def crash(server: HttpServer) -> Crash:
    """Kill the only worker, and watch its successor come."""
    (victim,) = server.workers()
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    answer = first_answer(server.port)
    listening = server.wait_for_listening(1, killed, ANSWER_SECONDS)
    forking = [event["time"] for event in server.events(killed) if event["event"] == "forking"]
    if not forking:
        raise BenchError("a worker came without a fork")
    return Crash((listening - forking[0]) * 1000, (answer - killed) * 1000)


def fork_contestants(run: Run) -> list[Contestant]:
    preloading = [Contestant(side, preload) for side in run.among(OURS, STOCK) for preload in (True, False)]
    return [*preloading, *[Contestant(side, False) for side in run.among(NODE20, NODE24)]]


def values_of(samples: Mapping[Contestant, list[Crash]], preload: bool, field: str) -> dict[str, list[float]]:
    """The figures of those with or without preloading; Node's belong to both."""
    return {
        contestant.side: [getattr(sample, field) for sample in some]
        for contestant, some in samples.items()
        if contestant.preload is preload or contestant.side in NODES
    }


def measure_forks(run: Run) -> list[Line]:
    """Kill the only worker of each server, again and again."""
    with ExitStack() as stack:
        servers = {
            one: stack.enter_context(http_server(one.side, run.tools, Setup(workers=1, preload=one.preload)))
            for one in fork_contestants(run)
        }
        samples = alternate(list(servers), lambda one: crash(servers[one]), run.scaled(9, 2))
    lines = []
    for key, preload, how in (("preloaded", True, "preloaded"), ("loaded", False, "not preloaded")):
        listening, answer = values_of(samples, preload, "to_listening"), values_of(samples, preload, "to_answer")
        lines += [
            Line(f"fork/{key}", f"fork to listening, {how}", "ms", False, listening),
            Line(f"crash/{key}", f"SIGKILL of the only worker to the first answer, {how}", "ms", False, answer),
        ]
    return lines


def pss_kib(side: str, run: Run, setup: Setup) -> int:
    """Memory of a whole server that has answered some requests."""
    with http_server(side, run.tools, setup) as server:
        for _ in range(run.scaled(WARM_UP_REQUESTS, 20)):
            get_once(server.port, setup.ready_path)
        return procfs.session_pss_kib(server.pid)


def further_worker(side: str, run: Run, app: str, path: str) -> float:
    """MiB that one worker more needs: the difference of two servers."""
    few, many = (
        pss_kib(side, run, Setup(workers, app, preload=side not in NODES, ready_path=path)) for workers in (FEW, MANY)
    )
    return (many - few) / (MANY - FEW) / 1024


def measure_memory(run: Run) -> list[Line]:
    """PSS: what is shared is counted once."""
    rounds = run.scaled(3, 1)
    hello = alternate(
        run.among(OURS, STOCK, NODE20, NODE24), lambda side: further_worker(side, run, "wsgi:app", "/"), rounds
    )
    flask = alternate(
        run.among(OURS, STOCK), lambda side: further_worker(side, run, "flask_api:app", "/orders/1"), rounds
    )
    return [
        Line("memory/hello", "PSS of each further worker, hello, preloaded", "MiB", False, hello),
        Line("memory/flask", "PSS of each further worker, Flask, preloaded", "MiB", False, flask),
    ]


GROUPS = [
    Group("fork", "from fork to listening, and from a crash to the next answer", measure_forks),
    Group("memory", "memory of a further worker", measure_memory),
]
