"""``process`` in a program that no cluster started: signals, its end, arguments."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from nodecluster_compat.base import emitter as emitters
from nodecluster_compat.errors import ArgumentError, ArgumentTypeError
from nodecluster_compat.roles.process import Process
from nodecluster_compat.roles.sending import sent_as

NUMBER = signal.SIGUSR2


@pytest.fixture
def process() -> Any:
    """One of its own, which leaves no handler behind."""
    former = signal.getsignal(NUMBER)
    made = Process()
    yield made
    made.remove_all_listeners()
    assert signal.getsignal(NUMBER) is former


def test_signal_is_an_event_while_somebody_listens(process: Process) -> None:
    """Node's arguments; then it does again what it did before."""
    seen: list[Any] = []
    former = signal.getsignal(NUMBER)
    process.on("SIGUSR2", lambda *args: seen.append(args))
    process.once("SIGUSR2", seen.append)
    for _ in range(2):
        signal.raise_signal(NUMBER)
    assert seen == [("SIGUSR2", 12), "SIGUSR2", ("SIGUSR2", 12)]
    process.remove_all_listeners("SIGUSR2")
    assert signal.getsignal(NUMBER) is former


def test_last_handler_that_goes_gives_the_signal_back(process: Process) -> None:
    """By ``off``, and by ``once``."""
    former = signal.getsignal(NUMBER)
    process.on("SIGUSR2", print)
    process.off("SIGUSR2", print)
    assert signal.getsignal(NUMBER) is former
    process.once("SIGUSR2", lambda: None)
    signal.raise_signal(NUMBER)
    assert signal.getsignal(NUMBER) is former


def test_event_is_emitted_where_the_process_says(process: Process) -> None:
    """On a later turn, where there is a loop; a shared signal's former handler is called at once."""
    queued: list[Any] = []
    seen: list[Any] = []
    former = signal.signal(NUMBER, lambda *_: seen.append("former"))
    try:
        process.signals.run_by(queued.append, {NUMBER})
        process.on("SIGUSR2", seen.append)
        signal.raise_signal(NUMBER)
        assert seen == ["former"]
        queued.pop()()
        assert seen == ["former", "SIGUSR2"]
        process.remove_all_listeners()
    finally:
        signal.signal(NUMBER, former)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_signal_that_nobody_can_catch(process: Process, name: str) -> None:
    """Refused, as in Node."""
    with pytest.raises(ArgumentError, match="can be caught"):
        process.on(name, print)
    assert process.listener_count(name) == 0


def test_signals_that_gunicorn_acts_on(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has registered, or registers, hears that they do not come."""
    emitters._complaints.clear()
    process.on("SIGUSR2", print)
    process.on("beforeExit", print)
    gunicorns = signal.signal(NUMBER, signal.SIG_IGN)
    try:
        process.serve_under_gunicorn({NUMBER, signal.SIGTERM})
        process.on("SIGTERM", print)
        process.on("SIGTERM", len)
        assert signal.getsignal(NUMBER) is signal.SIG_IGN
    finally:
        process.remove_all_listeners()
        signal.signal(NUMBER, signal.SIG_DFL if gunicorns is None or callable(gunicorns) else gunicorns)
    said = [message.partition(": ")[2] for message in caplog.messages]
    assert [message.split(":")[0] for message in said] == [
        "process has no event 'SIGUSR2'",
        "process has no event 'beforeExit'",
        "process has no event 'SIGTERM'",
    ]
    assert all("write process.on(" in message for message in said)
    emitters._complaints.clear()


def test_exit_comes_once_and_may_change_the_code(process: Process) -> None:
    """As ``process.exitCode`` in a handler of ``exit``."""
    seen: list[int] = []

    def ended(code: int) -> None:
        seen.append(code)
        process.exit_code = 7

    process._atexit_pid = -1  # not at the end of the tests
    process.on("exit", ended)
    assert process.ended(3) == 7
    assert process.ended(4) == 4
    assert seen == [3]


@pytest.mark.parametrize("code", ["one", 1.5, True, [], object()])
def test_exit_code_is_a_whole_number(process: Process, code: Any) -> None:
    """A sentence, and nothing has happened."""
    with pytest.raises(ArgumentTypeError, match="whole number from 0 to 255"):
        process.exit(code)


@pytest.mark.parametrize(("given", "code"), [(None, 5), (0, 0), (256, 0), (-1, 255)])
def test_exit_code_that_is_not_given_is_the_one_that_was_set(process: Process, given: int | None, code: int) -> None:
    """Node's ``process.exitCode``."""
    process.exit_code = 5
    with pytest.raises(SystemExit) as ended:
        process.exit(given)
    assert ended.value.code == code


def told(error: object) -> None:
    """A callback."""


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ((None, None, None), (None, False, None)),
        ((told, None, None), (None, False, told)),
        (("handle", told, None), ("handle", False, told)),
        (("handle", {"keepOpen": True}, told), ("handle", True, told)),
        ((None, {"keep_open": True}, None), (None, True, None)),
    ],
)
def test_send_as_node_spells_it(spelt: tuple[Any, Any, Any], meant: tuple[Any, ...]) -> None:
    """The callback may follow any argument."""
    assert sent_as(*spelt, keep_open=False) == meant


@pytest.mark.parametrize(
    "spelt", [(told, None, told), (None, "x", None), (None, None, 5), (None, {"keepOpn": 1}, None)]
)
def test_send_that_is_refused(spelt: tuple[Any, Any, Any]) -> None:
    """A sentence for each."""
    with pytest.raises(ArgumentError):
        sent_as(*spelt, keep_open=False)


def test_error_is_one_of_the_worker_first() -> None:
    """As in Node: the runtime listens on ``process`` before the program does."""
    made, worker = Process(), emitters.Emitter()
    told: list[Any] = []
    made._worker = worker  # type: ignore[assignment]
    worker.on("error", lambda error: told.append(("worker", error)))
    assert made.emit("error", "HI")
    made.on("error", lambda error: told.append(("process", error)))
    assert made.emit("error", "again")
    assert told == [("worker", "HI"), ("worker", "again"), ("process", "again")]


def test_exit_code_is_checked_where_it_is_set(process: Process) -> None:
    """Not at the end of the process; text that is a number counts, as in Node."""
    process.exit_code = "6"  # type: ignore[assignment]
    assert process.exit_code == 6
    for code in ("x", 1.5, True):
        with pytest.raises(ArgumentTypeError, match="expected a whole number"):
            process.exit_code = code  # type: ignore[assignment]
    with pytest.raises(SystemExit) as ended:
        process.exit("3")
    assert (ended.value.code, process.exit_code) == (3, 6)
