"""The C extension gives back what it takes: a thousand operations leave no object and no reference behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from fuzz_native import NATIVE
from fuzz_targets import Target
from fuzz_turns import TURNS

from nodecluster_compat.base.native import in_force

TARGETS = {**NATIVE, **TURNS}
_OPERATIONS = 1000
_WINDOWS = 4
_WARM_UPS = 6  # caches of the interpreter fill more and more slowly
_COUNTED = (
    "stores",
    "heads",
    "ids",
)  # what else is compiled counts nothing in a debug build: msgspec, greenlet, parsers
_NOISE = 5  # references that the interpreter itself keeps in a window

pytestmark = [pytest.mark.skipif(in_force().module is None, reason=str(in_force())), pytest.mark.slow]


def held() -> tuple[int, int]:
    """Return how many objects there are, and how many references to those that can be reached."""
    gc.collect()
    blocks = sys.getallocatedblocks()
    known = {id(one): one for one in gc.get_objects()}
    for one in gc.get_referents(*known.values()):
        known[id(one)] = one
    return blocks, sum(map(sys.getrefcount, known.values())) - 4 * len(known)


def grows(
    operate: Callable[[], object],
    held: Callable[[], tuple[int, int]] = held,
    few: Callable[[int, int], bool] = lambda *_: False,
) -> tuple[int, int]:
    """Return the least that both grow by in a window: what is kept for later is kept once, and a leak in each.

    The windows after one in which both grew by ``few`` would change nothing.
    """
    for _ in range(_WARM_UPS):
        operate()
    seen = [held()]
    while len(seen) <= _WINDOWS:
        operate()
        seen.append(held())
        growths = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(seen)]
        if few(*growths[-1]):
            break
    return min(blocks for blocks, _ in growths), min(references for _, references in growths)


@pytest.fixture(autouse=True)
def _nothing_is_logged() -> Iterator[None]:
    """pytest keeps what is."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_leak_would_be_seen() -> None:
    """Of an object, and of one reference to one that lives anyway."""
    kept: list[object] = []
    assert grows(lambda: kept.extend(object() for _ in range(50)))[0] >= 40
    kept.clear()
    assert grows(lambda: kept.extend([Target] * 50))[1] >= 40


@pytest.mark.timeout(300)  # some thousand operations, of which one of `deals` takes several milliseconds
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_left(name: str) -> None:
    target: Target = TARGETS[name]
    rounds = max(2 * _NOISE, _OPERATIONS // _WINDOWS // len(target.seeds)) + 1

    def operate() -> None:
        for _ in range(rounds):
            for seed in target.seeds:
                target.check(seed)

    operations = rounds * len(target.seeds)
    most = operations // 4 + _NOISE
    blocks, references = grows(operate, few=lambda blocks, references: blocks < most and references <= _NOISE)
    assert references <= _NOISE, f"of {operations} operations"
    assert blocks < most, f"of {operations} operations"


def held_in_all() -> tuple[int, int]:
    """The same, of all references: a debug build of CPython counts them."""
    gc.collect()
    return sys.getallocatedblocks(), sys.gettotalrefcount()  # type: ignore[attr-defined]


def raised(call: Callable[[], object]) -> None:
    with contextlib.suppress(ValueError):
        call()


def _calls() -> dict[str, Callable[[], object]]:
    """Calls that are the extension's alone."""
    native = in_force().module
    if native is None:
        return {}
    return {
        "peek at none": lambda: raised(lambda: native.peek(0, -1)),
        "look": lambda: native.look(b"GET /?EIO=4&sid=xxxxxxxxxxxxxxxxxxxx.3 HTTP/1.1"),
        "client_key": lambda: (native.client_key("127.0.0.1", 24, 64), native.client_key("::1", 24, 64)),
        "no client_key": lambda: native.client_key("nowhere", 24, 64),
    }


CALLS = _calls()
needs_count = pytest.mark.skipif(
    not hasattr(sys, "gettotalrefcount"), reason="only a debug build counts all references"
)


@needs_count
@pytest.mark.parametrize("name", [*_COUNTED, *CALLS])
def test_not_even_a_reference_is_left(name: str) -> None:
    """Of any object, also of one that nobody can reach."""
    operate = CALLS.get(name) or (lambda: [TARGETS[name].check(seed) for seed in TARGETS[name].seeds])

    def often() -> None:
        for _ in range(_OPERATIONS // _WINDOWS):
            operate()

    assert grows(often, held_in_all)[1] <= _NOISE
