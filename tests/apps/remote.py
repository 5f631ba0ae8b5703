"""Does what a test tells it, in the process that the test names.

``POST /here`` runs the body, Python source, in the worker that gets the request; ``POST /primary`` and
``POST /worker/2`` run it there, by messages.  The answer is JSON: who ran it, and the value of ``result``.
With ``?tell`` the answer comes at once and says only who passed it on.  ``GET`` says who answers.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import count
from typing import Any

from nodecluster_compat import cluster, process

tickets = count()
waiting: dict[int, Future[Any]] = {}
scope: dict[str, Any] = {"__name__": "remote_scope", "cluster": cluster, "process": process, "os": os}


def say(**facts: Any) -> None:
    """Write one line of JSON to the server's log."""
    os.write(1, json.dumps(facts, default=repr).encode() + b"\n")


scope["say"] = say


def run(source: str) -> Any:
    scope.pop("result", None)
    try:
        exec(source, scope)
    except Exception:  # noqa: BLE001 - the test is told, whatever it was
        traceback.print_exc()
        return {"raised": traceback.format_exc()}
    return scope.get("result")


def obey(message: Any, handle: object) -> None:
    """The worker's end of what ``conf_remote`` has in the primary."""
    if not isinstance(message, dict) or "remote" not in message:
        return
    if message["remote"] == "answer":
        waiting.pop(message["ticket"]).set_result(message["result"])
        return
    say(ran=message["source"], worker=None if cluster.worker is None else cluster.worker.id)
    result = run(message["source"])
    if message["reply"]:
        process.send({**message, "remote": "answer", "result": result})


process.on("message", obey)


def relay(target: int | None, source: str, reply: bool) -> Any:
    """Have ``source`` run in the primary or in another worker."""
    ticket = next(tickets)
    if reply:
        waiting[ticket] = Future()
    assert cluster.worker is not None
    process.send(
        {
            "remote": "run",
            "from": cluster.worker.id,
            "target": target,
            "ticket": ticket,
            "source": source,
            "reply": reply,
        }
    )
    return waiting[ticket].result() if reply else None


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    _, where, *rest = environ["PATH_INFO"].split("/")
    reply = environ["QUERY_STRING"] != "tell"
    result = None
    if environ["REQUEST_METHOD"] == "POST":
        source = environ["wsgi.input"].read().decode()
        if where == "here":
            say(ran=source, worker=None if cluster.worker is None else cluster.worker.id)
            result = run(source)
        else:
            result = relay(int(rest[0]) if where == "worker" else None, source, reply)
    worker = None if cluster.worker is None else cluster.worker.id
    body = json.dumps({"pid": os.getpid(), "worker": worker, "result": result}, default=repr).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


# What ``cluster.fork({"AT_IMPORT": source})`` asks of that one worker.
exec(os.environ.get("AT_IMPORT", ""), scope)
