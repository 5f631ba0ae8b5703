"""``nodeclusterctl top`` at a real terminal: what a person sees and presses, and how the terminal is left."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_stand_in import ControlStandIn
from operator_desk import DOOR, Operator
from person import Person
from status_documents import made_status

from pytest_cluster import Cluster

TOP = [sys.executable, "-m", "nodecluster_compat.ctl.main", "top"]
DOWN, PAGE_DOWN = "\x1b[B", "\x1b[6~"
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def server(folder: Path) -> Iterator[ControlStandIn]:
    status = made_status()

    def later() -> dict[str, Any]:
        status["uptime"] += 1.0
        return status

    with ControlStandIn(str(folder / "ctl"), {"cluster status": later}) as made:
        yield made


def top(folder: Path, *more: str, **options: Any) -> Person:
    return Person([*TOP, "--control-socket", str(folder / "ctl"), "--interval", "0.2", *more], **options)


def is_restored(person: Person) -> bool:
    """Whether the terminal is as it was: it echoes, has its cursor, and its own screen."""
    is_left = person.seen.rindex(LEAVE) > person.seen.rindex(ENTER)
    return is_left and b"\x1b[?25h" in person.seen and person.attributes == person.before


@pytest.mark.cluster(app="pid_echo:app", config=DOOR, fresh=True, workers=2)
def test_person_sees_and_steers_a_server(cluster: Cluster) -> None:
    """In 80 columns and 24 lines: its numbers live, stacks, exits, and a restart after a question."""
    operator = Operator(cluster)
    folder = Path(operator.path).parent
    with top(folder) as person:
        person.wait("2 of 2 listen")
        assert len(person.lines[0]) <= 80
        first, second = sorted(cluster.workers, key=lambda one: one.id)
        person.wait(lambda _: person.sees_selected(f"{first.pid}"))
        for _ in range(5):
            assert cluster.get("/").status == 200
        person.wait("; 0 in flight; 5 in all")
        person.press(DOWN)
        person.wait(lambda _: person.sees_selected(f"{second.pid}"))
        person.press("t")
        person.wait(lambda text: "Hub " in text and f"What worker 2 (pid {second.pid}) is doing" in text)
        person.press(PAGE_DOWN)
        person.wait(lambda text: "(lines 1 to" not in text)
        person.press("qf")
        person.wait("no request is in flight")
        person.press("qr")
        person.wait(f"Restart worker 2 (pid {second.pid})?")
        person.press("n")
        person.wait("nothing was restarted")
        person.press("ry")
        person.wait(lambda text: f" {second.pid} " not in text and "2 of 2 listen, 0 booting, 0 ending" in text)
        person.wait("Ended    1 asked")
        person.press("e")
        person.wait("code 0  asked")
        person.resize(120, 12)
        person.press("q")
        person.wait(lambda text: "CONNECTIONS" in text and len(person.lines) == 12)
        person.press("q")
        assert person.wait_for_end() == 0
        assert is_restored(person)
    assert cluster.workers[0].pid == first.pid


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("q", 0),
        ("\x03", 130),
        ("\x1c", -signal.SIGQUIT),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
    ],
)
def test_terminal_is_left_as_it_was(
    server: ControlStandIn, folder: Path, way: str | signal.Signals, expected: int
) -> None:
    """By keys, by signals from elsewhere, also while the server hangs."""
    with top(folder) as person:
        person.wait("3 of 3 listen")
        assert person.attributes != person.before
        server.may_answer.clear()
        if isinstance(way, str):
            person.press(way)
        else:
            person.program.send_signal(way)
        status = person.wait_for_end()
        assert is_restored(person)
        assert status == expected


def test_server_that_makes_no_sense_leaves_the_terminal_as_it_was(folder: Path) -> None:
    """It may be of another version; that is a sentence, on the screen that was there before."""
    answers = [made_status(), {}]
    take = {"cluster status": lambda: answers.pop(0) if answers else {}}
    with ControlStandIn(str(folder / "ctl"), take), top(folder) as person:
        assert person.wait_for_end() == 1
        assert is_restored(person)
        assert "says what this version does not understand: KeyError('" in "".join(person.lines)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here, whose jobs can be stopped")
def test_job_is_stopped_and_goes_on(server: ControlStandIn, folder: Path) -> None:
    """Ctrl-Z gives the shell its terminal; fg shows the server again."""
    with Person(["bash", "--norc", "--noprofile", "-i"], PS1="ready> ") as person:
        person.wait("ready>")
        person.press(" ".join([*TOP, "--control-socket", str(folder / "ctl")]) + "\n")
        person.wait("3 of 3 listen")
        person.press("\x1a")
        person.wait("Stopped")
        assert person.seen.rindex(LEAVE) > person.seen.rindex(ENTER)
        person.press("echo $((6 * 7))\n")
        person.wait("\n42")
        person.press("fg\n")
        person.wait(lambda text: "3 of 3 listen" in text and "q quit" in text and "42" not in text)
        person.press("q")
        person.wait("ready>")
        person.press("exit\n")
        assert person.wait_for_end() == 0


def test_server_that_ends_is_said_and_comes_back(folder: Path) -> None:
    """Keys are heard meanwhile."""
    path = str(folder / "ctl")
    with ControlStandIn(path, {"cluster status": made_status}):
        person = top(folder)
        person.wait("3 of 3 listen")
    with person:
        os.unlink(path)
        person.wait(lambda text: "no server answers on" in text or "has gone" in text)
        assert "3 of 3 listen" in person.text
        person.press("?")
        person.wait("Any key leads back.")
        person.press("q")
        with ControlStandIn(path, {"cluster status": lambda: {**made_status(), "pid": 4242}}):
            person.wait("pid 4242")
            person.press("q")
            assert person.wait_for_end() == 0


def test_without_a_terminal_it_says_so(server: ControlStandIn, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And prints the same once, where it is asked to; for programs as JSON."""
    from nodecluster_compat.ctl.main import main

    path = ["--control-socket", str(folder / "ctl"), "--interval", "0.2"]
    assert main(["top", *path]) == 1
    assert capfd.readouterr().err.startswith("nodeclusterctl: top needs a terminal to draw on")
    assert main(["top", "--once", *path]) == 0
    assert "3 of 3 listen" in capfd.readouterr().out
    assert main(["top", "--json", *path]) == 0
    assert '"rates": {"requests": 0.0' in capfd.readouterr().out
    with top(folder, TERM="dumb") as person:
        assert person.wait_for_end() == 1
        assert "top needs a terminal that can move its cursor, and TERM is dumb" in person.text
