"""An application whose requests fork, each in another way; what the children do is told in the file ``children``."""

from __future__ import annotations

import multiprocessing
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import gevent
from gevent.event import AsyncResult, Event

FORK: Any = multiprocessing.get_context("fork")
WORKER = os.getpid()
gate = Event()
waiting: set[object] = set()


def say(what: object) -> None:
    """Tell it, and whether this is the worker."""
    with open("children", "a") as children:
        children.write(f"{'worker' if os.getpid() == WORKER else 'child'} {what}\n")


def pause() -> None:
    """Let the hub run: what it has of others would go on now."""
    time.sleep(0.05)


def pay() -> str:
    """Wait for ``/open``, then say so: this must happen once, in the worker."""
    waiting.add(gevent.getcurrent())
    gate.wait()
    waiting.discard(gevent.getcurrent())
    say("paid")
    return "paid"


def open_gate() -> str:
    """Let the requests go on that wait."""
    gate.set()
    gate.clear()
    return "open"


def ticking() -> None:
    """A greenlet of the worker's own."""
    while True:
        time.sleep(0.02)
        if os.getpid() != WORKER:
            say("tick")


gevent.spawn(ticking)


def job(number: int = 3) -> int:
    """What runs in processes of ``multiprocessing``."""
    pause()
    return number * number


def shell() -> None:
    """A child that starts a program, and waits for it."""
    assert subprocess.run(["sh", "-c", "exit 7"], check=False).returncode == 7


def threaded() -> None:
    """A child with a thread."""
    thread = threading.Thread(target=pause)
    thread.start()
    thread.join()


def process(target: Callable[[], object]) -> str:
    """Run ``target`` in a process of ``multiprocessing``; return its exit code."""
    child = FORK.Process(target=target)
    child.start()
    child.join()
    return str(child.exitcode)


def terminated() -> str:
    """Terminate a child; SIGTERM is for the worker the request to drain."""
    child = FORK.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join()
    return str(child.exitcode)


def forked(in_child: Callable[[], Any]) -> str:
    """Fork; in the child let ``in_child`` end it, or return from the request."""
    pid = os.fork()
    if pid == 0:
        pause()
        say("goes on")
        return str(in_child())
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def forked_in(start: Callable[[Callable[[], None]], object]) -> str:
    """Fork in another thread, or in a greenlet that a timer starts."""
    answer = AsyncResult()

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            pause()
            say("goes on")
        else:
            answer.set(pid)

    start(fork)
    return str(os.waitstatus_to_exitcode(os.waitpid(answer.get(), 0)[1]))


def terminal() -> str:
    """Run a program on a pseudo terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("echo", ["echo", "hello"])
    with os.fdopen(fd, "rb", 0) as tty:
        text = tty.read(64).decode().strip()
    os.waitpid(pid, 0)
    return text


def failing() -> None:
    """Raise in the child."""
    raise ValueError("in the child")


def pool() -> str:
    """Work in a pool."""
    with FORK.Pool(2) as workers:
        return str(workers.map(job, [1, 2, 3]))


def executor() -> str:
    """Work in the pool of ``concurrent.futures``."""
    with ProcessPoolExecutor(2, mp_context=FORK) as workers:
        return str(list(workers.map(job, [1, 2, 3])))


def queue() -> str:
    """Send something larger than a pipe holds."""
    results = FORK.Queue()
    child = FORK.Process(target=results.put, args=(b"x" * 300_000,))
    child.start()
    received = results.get()
    child.join()
    return str(len(received))


PATHS: dict[str, Callable[[], str]] = {
    "/pay": pay,
    "/open": open_gate,
    "/waiting": lambda: str(len(waiting)),
    "/process": lambda: process(job),
    "/shell": lambda: process(shell),
    "/threaded": lambda: process(threaded),
    "/terminated": terminated,
    "/exits": lambda: forked(lambda: os._exit(4)),
    "/sys-exits": lambda: forked(lambda: sys.exit(5)),
    "/raises": lambda: forked(failing),
    "/returns": lambda: forked(lambda: "a second answer"),
    "/waits": lambda: forked(Event().wait),
    "/thread": lambda: forked_in(lambda fork: threading.Thread(target=fork).start()),
    "/timer": lambda: forked_in(lambda fork: gevent.spawn_later(0.01, fork)),
    "/terminal": terminal,
    "/pool": pool,
    "/executor": executor,
    "/queue": queue,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Do what the path says."""
    body = PATHS[environ["PATH_INFO"]]().encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
