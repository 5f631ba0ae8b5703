"""Who keeps a hub turning, asked of a real one."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent._hub_local import get_hub_class, get_hub_if_exists, set_hub

from nodecluster_compat.base.timers import Timer
from nodecluster_compat.gevent_runtime.at_once import run_at_once
from nodecluster_compat.gevent_runtime.keep_alive import KeepAlive
from nodecluster_compat.gevent_runtime.reactor import GeventReactor


def has_ended() -> bool:
    """Whether nothing is left to turn for; somebody holds the hub while that is asked."""
    return bool(gevent.wait(timeout=0.02))


def test_hub_turns_until_the_last_lets_go() -> None:
    """Each counts once."""
    keep_alive = KeepAlive()
    assert not keep_alive
    for holder in ("one", "two", "two"):
        keep_alive.hold(holder)
    assert keep_alive
    assert not has_ended()
    keep_alive.release("two")
    keep_alive.release("nobody")
    assert not has_ended()
    keep_alive.release("one")
    keep_alive.release("one")
    assert has_ended()


def test_forked_child_holds_nobody() -> None:
    """It has a copy."""
    keep_alive = KeepAlive()
    keep_alive.hold("one")
    keep_alive.abandon()
    assert has_ended()


def test_channel_holds_until_it_is_let_go_of() -> None:
    """And a watched descriptor does not."""
    reactor = GeventReactor()
    reactor.hold_channel(True)
    assert not has_ended()
    reactor.hold_channel(False)
    assert has_ended()


def test_timer_holds_unless_it_is_let_go_of_and_fires_in_a_greenlet() -> None:
    """Where it may wait; cancelled, it neither fires nor holds."""
    reactor = GeventReactor()
    seen: list[str] = []
    far = Timer(seen.append, ("never",), None, 60, holds=True)
    reactor.start(far, 60)
    assert not has_ended()
    far.unref()
    assert has_ended()
    far.ref()
    far.cancel()
    near = Timer(lambda: (gevent.sleep(0), seen.append("near")), (), None, 0.001, holds=True)
    reactor.start(near, 60)
    near.refresh()
    gevent.wait()
    assert seen == ["near"]


def test_interval_fires_until_it_is_cancelled() -> None:
    """Then nothing is left."""
    reactor = GeventReactor()
    seen: list[int] = []

    def tick() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            timer.cancel()

    timer = Timer(tick, (), None, 0.001, repeats=True, holds=True)
    reactor.start(timer, timer.seconds)
    gevent.wait()
    assert seen == [0, 1, 2]


def test_greenlet_runs_at_once_in_a_callback_of_the_hub() -> None:
    """Up to its first wait, before the callback goes on; elsewhere it is started as usual."""
    seen: list[str] = []

    def work(name: str) -> None:
        seen.append(f"{name} begins")
        gevent.sleep(0)
        seen.append(f"{name} ends")

    def callback() -> None:
        run_at_once(gevent.Greenlet(work, "first"))
        seen.append("callback")

    gevent.get_hub().loop.run_callback(callback)
    run_at_once(gevent.Greenlet(work, "second"))
    assert seen == []
    gevent.wait()
    assert seen[:2] == ["first begins", "callback"]
    assert sorted(seen[2:]) == ["first ends", "second begins", "second ends"]


@pytest.fixture(autouse=True)
def _hub_of_its_own() -> Iterator[None]:
    """What other tests of this process have left to their hub keeps none of these running."""
    before = get_hub_if_exists()
    hub = get_hub_class()(default=False)
    set_hub(hub)
    yield
    hub.destroy(destroy_loop=True)
    set_hub(before)
