"""The primary's end of ``remote``, and a witness of every event: the text of a ``gunicorn.conf.py``.

Each event that reaches a handler becomes one line of JSON in the server's log: ``saw`` says on which object.
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from nodecluster_compat import cluster

graceful_timeout = 8

scope: dict[str, Any] = {"__name__": "remote_scope", "cluster": cluster, "os": os}


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


def facts_of(worker: Any) -> dict[str, Any]:
    return {
        "worker": worker.id,
        "state": worker.state,
        "ead": worker.exited_after_disconnect,
        "dead": worker.is_dead(),
        "connected": worker.is_connected(),
        "known": worker.id in cluster.workers,
    }


def when_ready(server: Any) -> None:
    scope["server"] = server


on_reload = when_ready


@cluster.on("setup")
def setup_seen(settings: Mapping[str, Any]) -> None:
    say(saw="cluster", event="setup", settings=dict(settings))


def witness(event: str) -> None:
    def on_cluster(worker: Any, *args: Any) -> None:
        say(saw="cluster", event=event, args=args, **facts_of(worker))
        if event == "fork":
            for name in ("online", "listening", "disconnect", "exit"):
                worker.on(name, on_worker(name, worker))

    def on_worker(name: str, worker: Any) -> Callable[..., None]:
        return lambda *args: say(saw="worker", event=name, args=args, **facts_of(worker))

    cluster.on(event, on_cluster)


for each in ("fork", "online", "listening", "disconnect", "exit"):
    witness(each)


@cluster.on("message")
def obey(worker: Any, message: Any, handle: object) -> None:
    if not isinstance(message, dict) or "remote" not in message:
        return
    if message["remote"] == "answer":
        cluster.workers[message["from"]].send(message)
    elif message["target"] is not None:
        cluster.workers[message["target"]].send(message)
    else:
        result = run(message["source"])
        if message["reply"]:
            worker.send({**message, "remote": "answer", "result": result})
