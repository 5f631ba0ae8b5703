"""The event emitter: Node's names, isolation of handlers, origins."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Awaitable

import pytest

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.handler_calls import collect, current_origin, run_guarded, set_awaiting


def test_handlers_run_in_order_and_one_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The others run, and the log has the traceback."""
    emitter, seen = Emitter(), []
    emitter.on("x", lambda value: seen.append(("first", value)))
    emitter.on("x", lambda value: 1 / 0)
    emitter.on("x", lambda value: seen.append(("last", value)))
    with caplog.at_level(logging.ERROR):
        assert emitter.emit("x", 7) is True
    assert seen == [("first", 7), ("last", 7)]
    assert "ZeroDivisionError" in caplog.text


def test_on_is_a_decorator_too_and_once_comes_once() -> None:
    """Both forms of registration, and the one that removes itself."""
    emitter, seen = Emitter(), []

    @emitter.on("x")
    def always() -> None:
        seen.append("always")

    emitter.once("x", lambda: seen.append("once"))
    emitter.emit("x")
    emitter.emit("x")
    assert seen == ["always", "once", "always"]
    assert emitter.listeners("x") == [always]
    emitter.off("x", always)
    emitter.off("x", always)
    assert emitter.emit("x") is False
    assert emitter.listener_count("x") == 0


def test_handler_that_is_not_callable_is_refused() -> None:
    """The sentence says what came."""
    with pytest.raises(TypeError, match="expected a callable as the handler of 'x', got int"):
        Emitter().on("x", 5)  # type: ignore[call-overload]


def test_error_without_listener_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Difference D6."""
    Emitter().emit("error", OSError("broken"))
    assert "broken" in caplog.text


def register_from(module: str, source: str, emitter: Emitter) -> None:
    exec(compile(source, "<file>", "exec"), {"__name__": module, "emitter": emitter})


def test_what_a_file_registered_can_be_forgotten_alone() -> None:
    """Only handlers of that module's own top level go."""
    emitter = Emitter()
    emitter.on("x", lambda: None)
    register_from("conf", "def add(): emitter.on('x', lambda: None)\nadd()\nemitter.on('y', lambda: None)", emitter)
    register_from("other", "emitter.on('y', lambda: None)", emitter)
    emitter.forget("conf")
    assert (emitter.listener_count("x"), emitter.listener_count("y")) == (1, 1)


def test_origin_is_inherited_by_what_a_handler_registers() -> None:
    """A handler of the file that registers another leaves nothing behind either."""
    emitter, seen = Emitter(), []
    register_from("conf", "emitter.on('x', lambda: emitter.on('y', lambda: None))", emitter)
    emitter.emit("x")
    assert emitter.listener_count("y") == 1
    emitter.forget("conf")
    assert emitter.listener_count("y") == 0
    run_guarded("a test", "somewhere", lambda: seen.append(current_origin()))
    assert seen == ["somewhere"]


def test_what_was_forgotten_can_be_recalled() -> None:
    """In the same order, with the same origin, once-handlers too; what others registered stays."""
    emitter, seen = Emitter(), []
    source = (
        "emitter.on('e', lambda: seen.append('conf 1'))\n"
        "emitter.once('e', lambda: seen.append('conf once'))\n"
        "emitter.on('e', lambda: seen.append('conf 2'))\n"
    )
    exec(source, {"__name__": "conf", "emitter": emitter, "seen": seen})
    emitter.on("e", lambda: seen.append("mine"))
    forgotten = emitter.forget("conf")
    emitter.emit("e")
    assert seen == ["mine"]
    emitter.recall(forgotten)
    emitter.emit("e")
    emitter.emit("e")
    assert seen[1:] == ["mine", "conf 1", "conf once", "conf 2", "mine", "conf 1", "conf 2"]
    assert len(emitter.forget("conf")) == 2


def test_what_was_removed_is_referred_to_no_longer() -> None:
    """Handlers hold what they close over: by event, and all."""

    class Held:
        def __call__(self) -> None: ...

    emitter, kept = Emitter(), Held()
    for event in ("one", "two"):
        emitter.on(event, kept)
    reference = weakref.ref(kept)
    del kept
    emitter.remove_all_listeners("one")
    assert emitter.listener_count("one") == 0
    assert emitter.listener_count("two") == 1
    emitter.remove_all_listeners()
    assert reference() is None


def test_what_was_called_once_is_referred_to_no_longer() -> None:
    """Otherwise an emitter that lives on would keep every handler that it has ever called once."""

    class Held:
        def __call__(self) -> None: ...

    emitter, kept = Emitter(), Held()
    emitter.once("x", kept)
    reference = weakref.ref(kept)
    del kept
    emitter.emit("x")
    assert reference() is None


def test_handler_that_is_never_called_keeps_no_emitter() -> None:
    """What waits for an event that does not come is freed with its emitter, without a search for cycles."""
    emitter = Emitter()
    emitter.once("x", lambda: None)
    reference = weakref.ref(emitter)
    del emitter
    assert reference() is None


def test_once_is_a_decorator_too_and_can_be_taken_off() -> None:
    """As a handler of ``on``; one that an earlier handler takes off is not called any more."""
    emitter, seen = Emitter(), []

    @emitter.once("x")
    def first() -> None:
        seen.append("first")
        emitter.off("x", second)

    def second() -> None:
        seen.append("second")

    emitter.once("x", second)
    emitter.emit("x")
    emitter.emit("x")
    assert seen == ["first"]


def test_awaitables_of_handlers_are_collected_in_their_order(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever delivers awaits them; one that raises is logged, and what it registers has its origin."""
    emitter, seen = Emitter(), []

    async def first(value: int) -> None:
        seen.append(("first", value, current_origin()))

    async def once(value: int) -> None:
        seen.append(("once", value, current_origin()))

    async def broken(value: int) -> None:
        raise ZeroDivisionError(value)

    set_awaiting(lambda _: None)
    emitter.on("x", first)
    emitter.on("x", lambda value: seen.append(("plain", value)))
    emitter.on("x", broken)
    emitter.once("x", once)
    left = collect(emitter.emit, "x", 7)
    set_awaiting(None)
    assert seen == [("plain", 7)]
    for awaitable in left:
        run(awaitable)
    assert [one[:2] for one in seen[1:]] == [("first", 7), ("once", 7)]
    assert "ZeroDivisionError" in caplog.text


def test_awaitable_that_nobody_collects_goes_to_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """To the one that awaits, if there is an event loop; else the log says that the handler did not run."""
    emitter, seen, passed = Emitter(), [], []

    async def handler() -> None:
        seen.append("ran")

    emitter.on("x", lambda number: (number, handler())[1])
    emitter.emit("x", 1)
    assert seen == []
    assert "no event loop runs here" in caplog.text
    set_awaiting(passed.append)
    try:
        emitter.emit("x", 1)
    finally:
        set_awaiting(None)
    run(passed[0])
    assert seen == ["ran"]


def test_origin_is_the_handlers_own_in_every_thread() -> None:
    """Two handlers that run at once do not see each other's."""
    ready, seen = threading.Barrier(2), {}

    def look(name: str) -> None:
        ready.wait(10)
        seen[name] = current_origin()
        ready.wait(10)

    threads = [threading.Thread(target=run_guarded, args=("a test", name, look, name)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {"one": "one", "two": "two"}


def run(awaitable: Awaitable[None]) -> None:
    """Await what waits for nothing."""
    with pytest.raises(StopIteration):
        awaitable.__await__().__next__()


def test_calls_can_be_chained_as_in_node() -> None:
    """Each returns the emitter; a decorator returns what it decorates."""
    emitter, seen = Emitter(), list[str]()

    @emitter.once("x")
    def decorated() -> None:
        seen.append("decorated")

    def gone() -> None:
        seen.append("gone")

    chained = emitter.on("x", gone).off("x", gone).once("x", lambda: seen.append("once")).add_listener("y", gone)
    assert chained.remove_all_listeners("y") is emitter
    emitter.emit("x")
    emitter.emit("y")
    emitter.emit("x")
    assert seen == ["decorated", "once"]
    assert callable(decorated)


def test_handler_that_is_registered_several_times_is_called_as_often() -> None:
    """As in Node, which takes the last registration off first; ``once`` takes off its own alone."""
    emitter, seen = Emitter(), []
    emitter.on("x", seen.append)
    emitter.once("x", seen.append)
    emitter.on("x", seen.append)
    assert emitter.listener_count("x") == len(emitter.listeners("x")) == 3
    assert emitter.listeners("x") == [seen.append] * 3
    emitter.emit("x", 1)
    assert seen == [1, 1, 1]
    emitter.emit("x", 2)
    assert seen == [1, 1, 1, 2, 2]
    emitter.off("x", seen.append).emit("x", 3)
    assert seen == [1, 1, 1, 2, 2, 3]
    emitter.off("x", seen.append)
    assert not emitter.emit("x", 4)
    emitter.off("x", seen.append)


def test_once_before_the_same_handler_takes_off_itself_alone() -> None:
    """The other way round."""
    emitter, seen = Emitter(), []
    emitter.once("x", seen.append)
    emitter.on("x", seen.append)
    emitter.emit("x", 1)
    emitter.emit("x", 2)
    assert seen == [1, 1, 2]
