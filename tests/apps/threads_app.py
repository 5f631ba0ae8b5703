"""An application for workers of threads: requests that a test holds, and what a test asks of a worker."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from nodecluster_compat import ThreadWorker, cluster, process

GATE = threading.Event()
HELD: set[threading.Thread] = set()
KEPT: list[socket.socket] = []
BOTH_SEND = 4_000_000
if "ENDS_AT_IMPORT" in os.environ and cluster.is_worker:
    threading.Timer(0.01, process.exit, [7]).start()
    threading.Event().wait()
AT_IMPORT = process.request("at import") if "ASKS_AT_IMPORT" in os.environ else None


class OwnPool(ThreadWorker):
    """A worker with a thread pool of the program's own, as gunicorn's documentation has it."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=self.cfg.threads, thread_name_prefix="own")


def heavy() -> list[str]:
    """What a worker of threads has no use for."""
    return sorted({"gevent", "greenlet", "asyncio.runners"} & set(sys.modules))


def flood(threads: int, each: int) -> None:
    """Send from several threads at once."""

    def send(sender: int) -> None:
        for number in range(each):
            process.send({"sender": sender, "number": number, "filler": "x" * (number % 300)})

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(threads)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()


def close_kept() -> int:
    """Close a client's socket, as a websocket's own thread does when it likes; return its number."""
    sock = KEPT.pop()
    fd = sock.fileno()
    sock.close()
    return fd


def write_by_two(sock: socket.socket) -> None:
    """Send ``BOTH_SEND`` bytes each from two threads: more than fits between here and the client."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(sock.sendall, (b"a" * BOTH_SEND, b"b" * BOTH_SEND)))


def hold() -> None:
    HELD.add(threading.current_thread())
    GATE.wait()
    HELD.discard(threading.current_thread())


def count_of_held() -> int:
    """How many requests wait for the gate."""
    return len(HELD)


def forked() -> int:
    """Fork in a request; the child goes on with it, and ends where it would be answered."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(Exception):
        process.send({"from": "a child"})
    return 0


def answer(environ: dict[str, Any]) -> Any:
    path = environ["PATH_INFO"]
    if path == "/hold":
        hold()
    elif path == "/exit":
        process.exit(7)
    elif path == "/sys-exit":
        sys.exit(6)
    elif path == "/fork":
        return forked()
    elif path == "/kept":
        KEPT.append(environ["gunicorn.socket"])
    elif path == "/both":
        write_by_two(environ["gunicorn.socket"])
    elif path == "/unread":
        return "not read"
    elif path == "/thread":
        return threading.current_thread().name
    elif path == "/import":
        return AT_IMPORT
    elif path == "/environ":
        names = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.multithread", "wsgi.url_scheme")
        return {name: environ.get(name) for name in names}
    return None if cluster.worker is None else cluster.worker.id


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(answer(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
