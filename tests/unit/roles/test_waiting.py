"""Who may wait in the primary: another thread, and a script itself, but none of its handlers."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from nodecluster_compat.errors import WouldBlock
from nodecluster_compat.roles.waiting import Waiting


class Loop:
    """Calls at once what another thread gives it."""

    wait_beside: Any = None

    def __init__(self, thread: bool) -> None:
        self.is_another = thread

    def is_elsewhere(self) -> bool:
        return self.is_another

    def call_soon_threadsafe(self, begin: Callable[..., None], done: Callable[[], None]) -> None:
        Thread(target=begin, args=(done,)).start()


def waiting(*, elsewhere: bool = False) -> tuple[Waiting, Loop]:
    loop: Any = Loop(elsewhere)
    return Waiting(loop), loop


def test_another_thread_waits_until_the_loop_has_done_it() -> None:
    one, _ = waiting(elsewhere=True)
    seen: list[str] = []
    one.wait_for(lambda done: (seen.append("begun"), done())[1])
    assert (one.is_allowed, seen) == (True, ["begun"])


def test_script_waits_by_turns_and_its_handlers_must_not() -> None:
    """Nothing else is under way while the script runs; what runs in a turn is a handler."""
    one, _ = waiting()
    ends: list[Callable[[], None]] = []
    allowed: list[bool] = []

    def turn(_: float) -> None:
        allowed.append(one.is_allowed)
        if len(allowed) == 3:
            ends[0]()

    one.turn = turn
    one.wait_for(ends.append)
    assert (allowed, one.is_allowed, one.turn) == ([False] * 3, True, turn)


def test_script_may_wait_again_whatever_a_handler_raises() -> None:
    one, _ = waiting()

    def turn(_: float) -> None:
        raise SystemExit(3)

    one.turn = turn
    with pytest.raises(SystemExit):
        one.wait_for(lambda done: None)
    assert one.turn is turn


def test_handler_is_told_to_give_a_callback() -> None:
    one, _ = waiting()
    with pytest.raises(WouldBlock, match="expected a callback"):
        one.wait_for(lambda done: done())


def test_greenlet_waits_beside_the_loop_where_there_is_one() -> None:
    one, loop = waiting()
    seen: list[object] = []
    loop.wait_beside = lambda begin: seen.append(begin) or True
    one.wait_for(print)
    assert seen == [print]
