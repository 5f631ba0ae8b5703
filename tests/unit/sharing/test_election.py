"""One leader or none, in every order in which workers come, are ready, leave, resign and end."""

from __future__ import annotations

from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat.sharing.election import Election

STEPS = ["stands", "ready", "leaves", "resigned", "ended", "mandate", "elect"]


class Rig:
    def __init__(self) -> None:
        self.may = True
        self.leading: list[tuple[int, int]] = []
        self.resigning: list[int] = []
        self.given_back = 0
        self.election = Election(10, lambda: self.may, self.give_back, self.lead, self.resigning.append)

    def lead(self, worker: int, token: int) -> None:
        self.leading.append((worker, token))

    def give_back(self) -> None:
        self.given_back += 1

    def serve(self, *workers: int) -> None:
        for worker in workers:
            self.election.stands(worker)
            self.election.ready(worker)


def test_who_stands_and_serves_leads() -> None:
    """Not before it serves, nor if it does not stand."""
    rig = Rig()
    rig.election.stands(1)
    rig.election.ready(2)
    assert rig.leading == []
    rig.election.ready(1)
    assert rig.leading == [(1, 11)]


def test_who_leaves_resigns_first() -> None:
    """Nobody else leads before it has said so; told twice, it is asked once."""
    rig = Rig()
    rig.serve(1, 2, 3)
    rig.election.leaves(1)
    rig.election.leaves(1)
    assert (rig.resigning, rig.leading) == ([1], [(1, 11)])
    rig.election.resigned(2)
    assert rig.leading == [(1, 11)]
    rig.election.resigned(1)
    assert rig.leading == [(1, 11), (3, 12)]


def test_who_dies_is_followed() -> None:
    """Also while it resigns; the youngest follows, since in a reload the others leave."""
    rig = Rig()
    rig.serve(1, 2, 3)
    rig.election.ended(1)
    rig.election.leaves(3)
    rig.election.ended(3)
    assert rig.leading == [(1, 11), (3, 12), (2, 13)]


def test_who_could_not_be_told_does_not_lead() -> None:
    """Another one does; if nobody else can, it is told again."""
    rig = Rig()
    rig.serve(1, 2, 3)
    rig.election.ended(1)
    rig.election.not_told(3)
    assert (rig.election.leader, rig.election.lacks_mandate) == (None, True)
    rig.election.elect()
    rig.election.not_told(3)  # it does not lead
    rig.election.ended(2)
    rig.election.not_told(3)
    rig.election.elect()
    assert rig.leading == [(1, 11), (3, 12), (2, 13), (3, 14), (3, 15)]


def test_another_primary_has_the_mandate() -> None:
    """It is asked for again, and given back when nobody here could lead."""
    rig = Rig()
    rig.may = False
    rig.serve(1)
    assert (rig.leading, rig.election.lacks_mandate) == ([], True)
    rig.may = True
    rig.election.elect()
    assert (rig.leading, rig.election.lacks_mandate) == ([(1, 11)], False)
    before = rig.given_back
    rig.election.ended(1)
    assert rig.given_back > before


@settings(max_examples=drawn(200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 4)), max_size=40))
def test_never_two(steps: list[tuple[str, int]]) -> None:
    """A new leader only after the old one has resigned or ended; tokens grow; who could lead does not wait in vain."""
    rig = Rig()
    gone: set[int] = set()
    for step, worker in steps:
        led = len(rig.leading)
        before = rig.election.leader
        if step == "mandate":
            rig.may = not rig.may
        elif step == "elect":
            rig.election.elect()
        elif worker not in gone or step == "leaves":
            getattr(rig.election, step)(worker)
            gone |= {worker} if step == "ended" else set()
        if len(rig.leading) > led:
            assert before is None or (before == worker and step in ("ended", "resigned"))
            assert len(rig.leading) == led + 1
            assert rig.leading[-1][0] not in gone
        assert [token for _, token in rig.leading] == list(range(11, 11 + len(rig.leading)))
        if rig.may and step == "elect":
            assert not rig.election.lacks_mandate
