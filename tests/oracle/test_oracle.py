"""Node itself as the judge: each scenario runs on real Node and on ours, and both leave the same trace.

What Node says is recorded in ``recordings/``, for each version; the slow tests verify that Node still says so.

A scenario is a JavaScript file and its Python twin in ``scenarios/``.  Lines are compared for each observer (the
primary, what the primary sees of one worker, a worker), because between processes there is no order.

Where we differ on purpose there are two files beside the scenario: ``<name>.node.txt`` and ``<name>.ours.txt``, and
both behaviours are asserted.  ``<name>.node<version>.txt`` is a version of Node that differs from the others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from node import NODE_VERSIONS, node
from programs import run_program
from recordings import Recording
from traces import Trace, traced

SCENARIOS = Path(__file__).parent / "scenarios"
RECORDINGS = {version: Recording(SCENARIOS.parent / "recordings" / f"node{version}.json") for version in NODE_VERSIONS}
NODE_RUNS = 10
NAMES = sorted(str(path.relative_to(SCENARIOS).with_suffix("")) for path in SCENARIOS.glob("*/*.js"))


def environment(name: str) -> dict[str, str]:
    """What the first line of a scenario asks to be set."""
    first = (SCENARIOS / f"{name}.js").read_text().splitlines()[0]
    asked = [word for word in first.split() if "=" in word] if " ENV " in first else []
    return {**os.environ, "PYTHONPATH": str(SCENARIOS), **dict(word.split("=") for word in asked)}


def run(name: str, command: list[str]) -> Trace:
    """Run one side of a scenario."""
    done = run_program(command, cwd=SCENARIOS, env=environment(name))
    trace = traced(f"{done.stdout}exit code {done.returncode}")
    if "Traceback" in done.stderr and "accident" not in done.stderr and name != "lifecycle/uncaught":
        trace["stderr"] = done.stderr.splitlines()
    return trace


def run_node(name: str, version: str) -> Trace:
    """The trace of Node, in which ``disconnect`` comes before ``exit``.

    Node learns of the end of a process and of its channel in either order. On a loaded machine a few of a hundred
    workers are told the other way round, so such a run is not compared, unless Node tells it so each time.
    """
    for _ in range(NODE_RUNS):
        trace = run(name, [node(version), "-r", str(SCENARIOS / "prelude.js"), f"{name}.js"])
        if not any(is_reversed(lines) for lines in trace.values()):
            break
    return trace


def is_reversed(lines: list[str]) -> bool:
    """Whether the worker with these lines was told to have ended, and only then that its channel had."""
    for observer in ("worker", "cluster"):
        told = [line.split()[1] for line in lines if line.startswith(f"{observer} ")]
        if {"exit", "disconnect"} <= set(told) and told.index("exit") < told.index("disconnect"):
            return True
    return False


def expected(name: str, who: str) -> Trace | None:
    """What is on record where the two differ."""
    path = SCENARIOS / f"{name}.{who}.txt"
    return traced(path.read_text()) if path.exists() else None


# What another scenario, or a test of tests/conformance, shows in part.
SLOW = {
    "distribution/addresses",
    "distribution/close_in_connection",
    "distribution/exclusive_after_disconnect",
    "distribution/foreign_port",
    "distribution/ipv6_only",
    "distribution/last_one_leaves",
    "distribution/listen_twice",
    "distribution/max_zero",
    "distribution/paths",
    "distribution/port_of_zero_by_number",
    "distribution/relisten",
    "distribution/reuse_port",
    "distribution/udp_close_in_message",
    "distribution/udp_own",
    "handles/into_http_server",
    "handles/keep_open",
    "handles/sent_twice",
    "handles/socket_to_primary",
    "lifecycle/cluster_disconnect_empty",
    "lifecycle/disconnect_at_once",
    "lifecycle/disconnect_dead",
    "lifecycle/disconnect_then_kill",
    "lifecycle/exit_codes",
    "lifecycle/fork_beside_server",
    "lifecycle/fork_in_exit",
    "lifecycle/idle_worker",
    "lifecycle/kept_alive_by_work",
    "lifecycle/killed_from_outside",
    "lifecycle/let_go",
    "lifecycle/missing_script",
    "lifecycle/orphan_by_choice",
    "lifecycle/primary_idle",
    "lifecycle/primary_throws",
    "lifecycle/raw_disconnect",
    "lifecycle/signals",
    "lifecycle/spawn_failure",
    "lifecycle/uncaught_listeners",
    "lifecycle/worker_kills_itself",
    "messages/large",
    "messages/last_words",
    "messages/late_listener",
    "messages/refused",
    "messages/reserved_words",
    "settings/cumulative",
    "settings/extra_stream",
    "settings/identity",
    "settings/roles",
    "settings/streams",
    "settings/worker_constructor",
}


@pytest.mark.table(quick=[name for name in NAMES if name not in SLOW])
@pytest.mark.parametrize("name", NAMES)
def test_ours_leaves_the_trace_that_node_leaves(name: str) -> None:
    """On the newest of the three; or, where we differ on purpose, what is on record."""
    ours = run(name, [sys.executable, "-m", "nodecluster_compat", f"{name}.py"])
    assert ours == (expected(name, "ours") or RECORDINGS[NODE_VERSIONS[-1]][name])


@pytest.mark.parametrize("version", NODE_VERSIONS)
def test_every_node_leaves_the_trace_on_record(version: str) -> None:
    """Where we differ on purpose Node must do what we say it does; elsewhere all three versions do the same."""
    for name in NAMES:
        record = expected(name, f"node{version}") or expected(name, "node") or RECORDINGS[NODE_VERSIONS[-1]][name]
        assert RECORDINGS[version][name] == record, name


def asked_of_node() -> list[str]:
    """The cells that are long: each scenario runs on one Node after the other, the versions take turns."""
    turns = {name: NODE_VERSIONS[number % len(NODE_VERSIONS)] for number, name in enumerate(NAMES)}
    return [f"{name}-{version}" for name in NAMES for version in NODE_VERSIONS if version != turns[name]]


@pytest.mark.table(quick=[], long=asked_of_node())
@pytest.mark.parametrize("version", NODE_VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_node_itself_leaves_the_recorded_trace(name: str, version: str, recording_anew: bool) -> None:
    """The recordings are what Node does."""
    trace = run_node(name, version)
    if recording_anew:
        RECORDINGS[version].write(name, trace)
    assert trace == RECORDINGS[version][name]
