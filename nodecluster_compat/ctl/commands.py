"""Carry out each command of ``nodeclusterctl``: ask the server, wait where it takes time, and print the answer.

Each command is a function of the connection and the options, and returns the exit status.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..base.one_line import one_line
from .client import ControlClient, Gone
from .output import output_to, say
from .profiles import collapsed_text, heap_of, heap_text, profile_of, speedscope_of, summary_of
from .tables import events_text, exits_text, reload_text, requests_text, stacks_text, status_text, workers_text
from .top.program import top
from .waiting import wait_for_reload, wait_for_scale, wait_for_workers

__all__ = ["COMMANDS", "Command"]

Command: TypeAlias = Callable[[ControlClient, Namespace], int]

_LOOK_SECONDS: Final = 0.5
_PROFILE_PATIENCE: Final = 60.0
_EVENTS_TIMEOUT: Final = 60.0  # the server answers within ten seconds


def say_progress(text: str) -> None:
    """Print how far it is, for a person."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show(options: Namespace, data: Mapping[str, Any], text: Callable[[], str]) -> None:
    """Print an answer, as JSON where that was asked for."""
    say(json.dumps(data) if options.json else text())


# --- asking ------------------------------------------------------------------------------------


def status(server: ControlClient, options: Namespace) -> int:
    """Print the status."""
    data = server.ask("cluster status")
    show(options, data, lambda: status_text(data))
    return 0


def workers(server: ControlClient, options: Namespace) -> int:
    """Print the workers."""
    data = server.ask("cluster workers")
    show(options, data, lambda: workers_text(data["workers"]))
    return 0


def exits(server: ControlClient, options: Namespace) -> int:
    """Print how the last workers ended."""
    data = server.ask("cluster exits")
    show(options, data, lambda: exits_text(data["exits"]))
    return 0


def live(server: ControlClient, options: Namespace) -> int:
    """Print whether the server is of any use."""
    return _probe(server, options, "live")


def ready(server: ControlClient, options: Namespace) -> int:
    """Print whether a request would be answered now."""
    return _probe(server, options, "ready")


def _probe(server: ControlClient, options: Namespace, word: str) -> int:
    data = server.ask(f"cluster {word}")
    is_so = bool(data[word])
    told = f"{data['state']}, {data['listening']} of {data['target']} workers listen"
    show(options, data, lambda: f"{word if is_so else f'not {word}'}: {told}")
    return 0 if is_so else 1


def stacks(server: ControlClient, options: Namespace) -> int:
    """Print what workers are doing."""
    data = server.ask("cluster stacks", *([options.slot] if options.slot else []))
    show(options, data, lambda: stacks_text(data["workers"]))
    return 0


def requests(server: ControlClient, options: Namespace) -> int:
    """Print the requests in flight."""
    data = server.ask("cluster requests", *([options.slot] if options.slot else []))
    show(options, data, lambda: requests_text(data["requests"]))
    return 0


def events(server: ControlClient, options: Namespace) -> int:
    """Print what has happened, and what happens."""
    after = -options.last if options.last else server.ask("cluster events", "-1")["last"]
    while True:
        waits = ["wait"] if options.follow and after >= 0 else []
        try:
            data = server.ask("cluster events", str(after), *waits, timeout=_EVENTS_TIMEOUT)
        except Gone as gone:
            if not options.follow:
                raise
            after = 0 if _is_another(server, gone) else after
            continue
        if data["lost"] and after >= 0:
            say_progress(f"{data['lost']} events are lost: they came faster than they were read")
        if data["events"]:
            lines = [json.dumps(one) for one in data["events"]] if options.json else [events_text(data["events"])]
            say("\n".join(lines))
        if not options.follow:
            return 0
        after = data["last"]


def logs(server: ControlClient, options: Namespace) -> int:
    """Print the end of a worker's log, and what it logs from now on."""
    since, worker = 0, None
    while True:
        try:
            data = server.ask("cluster logs", options.slot, str(since))
        except Gone as gone:
            if not options.follow:
                raise
            since, worker = (0, None) if _is_another(server, gone) else (since, worker)
            continue
        if since and data["id"] != worker:  # a successor, whose log begins anew
            data = server.ask("cluster logs", options.slot, "0")
        is_news = data["written"] or data["id"] != worker  # not the last words of a worker that has ended, once more
        if options.json and (is_news or not options.follow):
            say(json.dumps(data))
        elif data["log"] and is_news:
            say(_harmless(data["log"]).rstrip("\n"))
        if not options.follow:
            return 0
        since, worker = data["written"], data["id"]
        time.sleep(_LOOK_SECONDS)


def _is_another(server: ControlClient, gone: Gone) -> bool:
    """Connect again, and say if that leads to another server: the new master of an upgrade."""
    is_another = server.connect_again(gone)
    if is_another:
        say_progress(f"another server has the control socket now (pid {server.server_pid}): going on with that")
    return is_another


def _harmless(text: str) -> str:
    """Return what a worker has logged, without what would move a terminal's cursor."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def profile(server: ControlClient, options: Namespace) -> int:
    """Sample what a worker does, and write the profile."""
    words = [options.slot, f"{options.seconds:g}", f"{options.rate:g}"]
    with output_to(options.output) as write:
        data = server.ask("cluster profile", *words, timeout=options.seconds + _PROFILE_PATIENCE)
        found = profile_of(data["result"])
        name = f"worker {data['slot']} (pid {data['pid']})"
        is_json = options.json or options.format == "speedscope"
        write(json.dumps(speedscope_of(found, name)) if is_json else collapsed_text(found))
    say_progress(summary_of(found, name))
    return 0


def heap(server: ControlClient, options: Namespace) -> int:
    """Print what takes a worker's memory."""
    action = "start" if options.start else "stop" if options.stop else "show"
    data = server.ask("cluster heap", options.slot, action, timeout=_PROFILE_PATIENCE)
    found = heap_of(data["result"])
    show(options, {**data, "result": found}, lambda: heap_text(found, options.slot))
    return 0 if found["tracing"] or action == "stop" else 1


# --- steering ----------------------------------------------------------------------------------


def reload(server: ControlClient, options: Namespace) -> int:
    """Reload, and wait for the end."""
    data: Mapping[str, Any] = server.ask("cluster reload")
    if options.no_wait:
        show(options, data, lambda: "reloading")
        return 0
    report = wait_for_reload(server, data["before"], options.timeout, say_progress)
    show(options, report, lambda: reload_text(report))
    return 0 if report["state"] == "succeeded" else 1


def scale(server: ControlClient, options: Namespace) -> int:
    """Have another number of workers."""
    data = server.ask("cluster scale", options.number)
    if not options.no_wait:
        wait_for_scale(server, data["target"], options.timeout, say_progress)
    show(options, data, lambda: f"{data['target']} workers, {data['before']} before")
    return 0


def restart(server: ControlClient, options: Namespace) -> int:
    """Replace workers; each successor listens before its predecessor goes."""
    data = server.ask("cluster restart", options.slot or "all")
    return _seen_off(server, options, data, "replaced", are_replaced=True)


def drain(server: ControlClient, options: Namespace) -> int:
    """Let a worker finish what it has, and end."""
    return _seen_off(server, options, server.ask("cluster drain", options.slot), "drained", are_replaced=False)


def kill(server: ControlClient, options: Namespace) -> int:
    """Kill a worker."""
    return _seen_off(server, options, server.ask("cluster kill", options.slot), "killed", are_replaced=False)


def _seen_off(
    server: ControlClient, options: Namespace, data: Mapping[str, Any], word: str, *, are_replaced: bool
) -> int:
    leaving = {one["id"] for one in data["workers"]}
    if not options.no_wait:
        wait_for_workers(server, leaving, options.timeout, say_progress, are_replaced=are_replaced)
    names = ", ".join(f"{one['slot']} (pid {one['pid']})" for one in data["workers"])
    show(options, data, lambda: f"{'asked for' if options.no_wait else word}: worker {names}")
    return 0


COMMANDS: Final[Mapping[str, Command]] = {
    "status": status,
    "workers": workers,
    "top": top,
    "exits": exits,
    "live": live,
    "ready": ready,
    "stacks": stacks,
    "requests": requests,
    "events": events,
    "logs": logs,
    "profile": profile,
    "heap": heap,
    "reload": reload,
    "scale": scale,
    "restart": restart,
    "drain": drain,
    "kill": kill,
}
