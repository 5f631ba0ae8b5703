"""The C extension gives back what it takes: a thousand operations leave no object and no reference behind."""

from __future__ import annotations

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
_NOISE = 5  # references that the interpreter itself keeps in a window

pytestmark = [pytest.mark.skipif(in_force().module is None, reason=str(in_force())), pytest.mark.slow]


def held() -> tuple[int, int]:
    """Return how many objects there are, and how many references: to those that can be reached, or to all.

    A debug build of CPython counts all.
    """
    gc.collect()
    blocks = sys.getallocatedblocks()
    if hasattr(sys, "gettotalrefcount"):
        return blocks, sys.gettotalrefcount()
    known = {id(one): one for one in gc.get_objects()}
    for one in gc.get_referents(*known.values()):
        known[id(one)] = one
    return blocks, sum(map(sys.getrefcount, known.values())) - 4 * len(known)


def grows(operate: Callable[[], object]) -> tuple[int, int]:
    """Return the least that both grow by in a window: what is kept for later is kept once, and a leak in each."""
    operate()
    seen = [held()]
    for _ in range(_WINDOWS):
        operate()
        seen.append(held())
    growths = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(seen)]
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


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_left(name: str) -> None:
    target: Target = TARGETS[name]
    rounds = max(2 * _NOISE, _OPERATIONS // _WINDOWS // len(target.seeds)) + 1

    def operate() -> None:
        for _ in range(rounds):
            for seed in target.seeds:
                target.check(seed)

    operations = rounds * len(target.seeds)
    blocks, references = grows(operate)
    assert references <= _NOISE, f"of {operations} operations"
    assert blocks < operations // 4 + _NOISE, f"of {operations} operations"
