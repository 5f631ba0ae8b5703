"""The targets of tests/fuzz, on a hundred inputs or some more: mutated seeds, and whatever hypothesis comes upon."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import kept_dealers
import kept_worker
import pytest
from fuzz_bodies import BODIES
from fuzz_mutation import mutated
from fuzz_native import NATIVE
from fuzz_nodes import NODES
from fuzz_reads import READS
from fuzz_requests import REQUESTS
from fuzz_takes import TAKES
from fuzz_targets import TARGETS, Target
from fuzz_turns import TURNS
from fuzz_worker import WORKER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal import Journal
from repeats import Repeats

ALL = {**TARGETS, **NODES, **REQUESTS, **READS, **BODIES, **WORKER, **NATIVE, **TURNS}


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    yield
    kept_dealers.close()
    kept_worker.close()


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    """So many inputs in the quick run, more of them in that of slow tests, and so many where long tests run."""
    more = pytest.param(many // 4, marks=pytest.mark.slow)
    return pytest.mark.parametrize(
        "count", [few, more, pytest.param(many, marks=pytest.mark.long)], ids=["few", "more", "many"]
    )


@few_or_many(40, 400)
@pytest.mark.parametrize("name", ALL)
def test_mutated_seeds_break_no_promise(name: str, count: int) -> None:
    """What ``run.py`` does by the million."""
    target, rng = ALL[name], random.Random(name)
    for seed in target.seeds:
        target.check(seed)
        if target.alone is not None:
            target.alone(seed)
    for _ in range(count):
        target.check(mutated(rng, target.seeds, target.words))


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes, and pieces of what the target understands."""
    pieces = st.one_of(st.binary(max_size=12), st.sampled_from([*target.seeds, *target.words]))
    return st.lists(pieces, max_size=8).map(b"".join)


@few_or_many(10, 100)
@pytest.mark.parametrize("name", ALL)
def test_found_inputs_break_no_promise(name: str, count: int) -> None:
    """The same promises; hypothesis makes what breaks one small."""

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(ALL[name]))
    def check(data: bytes) -> None:
        ALL[name].check(data)

    check()


@pytest.mark.skipif("deals" not in NATIVE, reason="there is no C extension here")
@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("kind", [0, 0x0F, 0x48, 0x81])
def test_one_engine_is_dealt_with_by_many_inputs(kind: int) -> None:
    """Each leaves it as it was: it would cost several times as much to make one for each."""
    target, rng = NATIVE["deals"], random.Random(kind)
    found = set()
    for _ in range(100):
        kept_dealers.deal(bytes([kind]) + mutated(rng, target.seeds, target.words)[1:100])
        found |= {id(one) for one in kept_dealers.kept.values()}
    kept_dealers.close()
    assert len(found) == 1


@pytest.mark.skipif("deals" not in NATIVE, reason="there is no C extension here")
@pytest.mark.parametrize("kind", [0, 0x40])
def test_no_client_waits_for_the_next_input(kind: int) -> None:
    """It would be dealt there; and a client of a listener that has no room for more waits for ever."""
    kept_dealers.deal(bytes([kind, *[21] * 12]))
    (one,) = kept_dealers.kept.values()
    for sock in one.played.rig.socks:
        with pytest.raises(BlockingIOError):
            sock.accept()


@pytest.mark.skipif("takes" not in TAKES, reason="there is no C extension or parser here")
def test_one_worker_is_served_by_many_inputs() -> None:
    """Likewise."""
    target, rng = TAKES["takes"], random.Random(1)
    found = set()
    for _ in range(100):
        kept_worker.take(mutated(rng, target.seeds, target.words)[:20])
        found |= {id(one) for one in kept_worker.kept}
    assert len(found) == 1


def test_journal_has_the_last_inputs_of_a_process_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in range(300):
        journal.note(b"%d" % number)
    found = list(Journal(path).inputs())
    assert found[-2:] == [b"298", b"299"]
    assert len(found) == 256


def test_an_input_is_known_again_by_what_is_read_of_it() -> None:
    repeats = Repeats(1 << 16)
    assert [repeats.is_one(data) for data in (b"", b"a", b"b", b"a", b"", b"b")] == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]


def test_few_inputs_are_taken_for_others() -> None:
    repeats = Repeats(1 << 16)
    assert sum(repeats.is_one(b"%d" % number) for number in range(1000)) < 50
