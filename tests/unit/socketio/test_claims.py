"""Clients claim their sessions, several at once, while workers come to nothing: in a cluster without a process."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Coroutine, Generator
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from nodecluster_compat.socketio import AsyncClusterManager
from nodecluster_compat.socketio.questions import Answers
from nodecluster_compat.socketio.recovery.claims import Arrival
from nodecluster_compat.socketio.recovery.offsets import NOTHING, encode_offset
from nodecluster_compat.socketio.recovery.reservations import Claim, Reservations
from nodecluster_compat.socketio.recovery.sessions import Session
from nodecluster_compat.socketio.recovery.waiting import WaitingRecovery
from nodecluster_compat.socketio.wire import Told


def session(home: int = 1, **more: Any) -> Session:
    return Session("p", "sid of p", "/", ["room"], {}, home, encode_offset(NOTHING), 0, **more)


def claim(by: str = "first", to: int = 2) -> Claim:
    return Claim("p", "/", by, to)


# --- reservations ----------------------------------------------------------------------------------


def test_the_first_who_claims_has_it_until_its_time_is_over() -> None:
    reservations = Reservations()
    assert reservations.take(claim(), 0, 100)
    assert not reservations.take(claim("second", 3), 99, 199)
    assert reservations.take(claim(), 99, 150)  # it may ask again
    assert not reservations.take(claim("second", 3), 149, 249)
    assert reservations.take(claim("second", 3), 150, 250)


def given_up(reservations: Reservations) -> None:
    reservations.release("p", "second")
    assert not reservations.take(claim("second"), 0, 100)
    reservations.release("p", "first")


def its_worker_is_gone(reservations: Reservations) -> None:
    reservations.members_changed({2, 3})
    assert not reservations.take(claim("second"), 0, 100)
    reservations.members_changed({3})


def its_client_left_again(reservations: Reservations) -> None:
    reservations.left("p", 3)
    assert not reservations.take(claim("second"), 0, 100)
    reservations.left("p", 2)


@pytest.mark.parametrize("end", [given_up, its_worker_is_gone, its_client_left_again])
def test_what_nobody_wants_any_more_is_free(end: Callable[[Reservations], None]) -> None:
    reservations = Reservations()
    assert reservations.take(claim(), 0, 100)
    end(reservations)
    assert reservations.take(claim("second"), 0, 100)


def test_reservations_are_few() -> None:
    """Whoever invents names fills nothing."""
    reservations = Reservations()
    for number in range(10_010):
        reservations.take(structs.replace(claim(), pid=str(number)), 0, 100)
    assert len(reservations) == 10_000
    reservations.take(claim(), 100, 200)
    assert len(reservations) == 1


# --- who had it leaves meanwhile -------------------------------------------------------------------


class Asking(WaitingRecovery):
    """Gets the answers that the test gives it, one after the other."""

    def __init__(self, *answers: Answers) -> None:
        self.answers = list(answers)

    def _ask(self, asked: Any, told: dict[str, Any], timeout: float) -> Answers:
        return self.answers.pop(0)

    def _asked_for_claim(self, pid: str) -> None:
        return None

    def _found_here(self, claim: Claim) -> None:
        return None


def test_who_had_a_session_and_left_while_asked_is_no_reason_to_begin_anew() -> None:
    """The others said that it has the session: once it is gone, they answer for it."""
    theirs = {"session": structs.asdict(session(home=4)), "is_given": True}
    asking = Asking(Answers({5: None}, gone=frozenset({4})), Answers({5: theirs}))
    assert asking._session_of(claim()) == session(home=4)
    nobody = Asking(Answers({5: None}))
    assert nobody._session_of(claim()) is None
    found = Asking(Answers({5: theirs}, gone=frozenset({4})))
    assert found._session_of(claim()) == session(home=4)
    not_given = Asking(Answers({5: {**theirs, "is_given": False}}))
    assert not_given._session_of(claim()) is None


def test_who_asks_a_worker_that_has_lost_the_session_meanwhile_asks_the_next() -> None:
    """It was behind: what it had not read yet says where the client has been since."""
    theirs = {"session": structs.asdict(session(home=5)), "is_given": True}
    asking = Asking(Answers({4: None}), Answers({5: theirs}))
    homes = iter([4, 5])
    asking._asked_for_claim = lambda _: (next(homes, 5),)  # type: ignore[assignment, method-assign, return-value]
    assert asking._session_of(claim()) == session(home=5)


# --- a cluster -------------------------------------------------------------------------------------


class _Answered:
    """Awaited until whoever was asked has answered, or is gone."""

    def __init__(self, missing: Collection[int]) -> None:
        self.missing = set(missing)
        self.answers = Answers()

    def __await__(self) -> Generator[None, None, Answers]:
        while self.missing:
            yield
        return self.answers

    def gone(self, members: Collection[int]) -> None:
        self.answers.gone |= self.missing.difference(members)
        self.missing.intersection_update(members)


class Station(AsyncClusterManager):
    """One worker's manager; its primary is a :class:`Net`."""

    def __init__(self, net: Net, number: int) -> None:
        super().__init__(recovery=60)
        self.net, self.number = net, number
        self.asked: dict[int, _Answered] = {}
        self.read = len(net.posts)
        seat = SimpleNamespace(worker_id=number, memory=None, runtime=SimpleNamespace(call_later=lambda *_: None))
        self._seat = cast("Any", seat)
        self.memory.clock = lambda: net.now
        self.server = SimpleNamespace(eio=SimpleNamespace(sockets={}), logger=Mock())

    def _close_soon(self, eio_sid: str) -> None:
        pass

    def take_seat(self) -> Any:
        return self._seat

    def _tell(self, target: int, told: Told) -> None:
        self.net.post(self.number, target, told)

    async def _ask(self, asked: Any, told: Told, timeout: float, suffices: Any = None) -> Answers:
        members = self.members or frozenset()
        answered = _Answered(members if asked is None else members & set(asked))
        self.asked[len(self.asked)] = answered
        for target in sorted(answered.missing):
            self.net.post(self.number, target, {"method": "ask", "id": len(self.asked) - 1, **told})
        return await answered

    def hear(self) -> None:
        """Read what was told next."""
        sender, target, body = self.net.posts[self.read]
        self.read += 1
        told = json.loads(body)
        if told["method"] == "members":
            self._heard_members(frozenset(told["members"]) - {self.number})
        elif sender != self.number and target in (0, self.number):
            self._heard(sender, told)

    def _heard_members(self, members: frozenset[int]) -> None:
        self.members = members
        for answered in self.asked.values():
            answered.gone(members)
        self.memory.members_changed(members, members)

    def _heard(self, sender: int, told: Told) -> None:
        if told["method"] == "answer":
            answered = self.asked[told["id"]]
            if sender in answered.missing:
                answered.missing.discard(sender)
                answered.answers.values[sender] = told["value"]
        else:
            self._acts[told["method"]](self, sender, told)


class Net:
    """Workers and their primary, which tells all the same in the same order; a worker reads when the test lets it."""

    def __init__(self, number: int) -> None:
        self.now = 1000
        self.posts: list[tuple[int, int, str]] = []
        self.alive = {one: Station(self, one) for one in range(1, number + 1)}
        self.post_members()

    def post(self, sender: int, target: int, told: Told) -> None:
        self.posts.append((sender, target, json.dumps(told)))

    def post_members(self) -> None:
        self.post(0, 0, {"method": "members", "members": sorted(self.alive)})

    def kill(self, number: int) -> None:
        if len(self.alive) > 1 and self.alive.pop(number, None) is not None:
            self.post_members()

    def hear_all(self) -> None:
        while any(one.read < len(self.posts) for one in self.alive.values()):
            for one in self.alive.values():
                if one.read < len(self.posts):
                    one.hear()

    def had(self, had: Session) -> None:
        """All have heard of a session."""
        for one in self.alive.values():
            one.memory.sessions.keep(had, self.now)


class Attempt:
    """A client that claims the session, of a worker of its choice."""

    def __init__(self, net: Net, to: int, offset: object = None) -> None:
        self.station = net.alive[to]
        self.claim = self.station._claim("p", "/")
        self.steps: Coroutine[None, None, Arrival | None] = self.station._claimed_for(self.claim, offset)
        self.has_ended = self.has_won = False

    def step(self) -> None:
        if self.has_ended or self.station.net.alive.get(self.station.number) is not self.station:
            return
        try:
            self.steps.send(None)
        except StopIteration as end:
            self.has_ended = True
            self.has_won = end.value is not None
            if end.value is not None:
                self.station._has_arrived(self.claim)
                self.station._begin_session(end.value.session)


def finished(net: Net, attempts: list[Attempt]) -> None:
    while any(not one.has_ended for one in attempts if one.station.number in net.alive):
        for attempt in attempts:
            attempt.step()
        net.hear_all()
    net.hear_all()
    for attempt in attempts:
        attempt.steps.close()


NUMBERS = st.integers(1, 4)
TURNS = st.lists(st.tuples(st.sampled_from(["hear", "hear", "step", "kill"]), NUMBERS), max_size=60)


@example(3, [1, 1], [("step", 1), ("hear", 3), ("kill", 3)], 1)  # whoever gave it is gone, and the claimant's decides
@given(NUMBERS, st.lists(NUMBERS, min_size=2, max_size=4), TURNS, st.integers(0, 2))
def test_of_those_who_claim_at_once_exactly_one_gets_it(
    home: int, workers: list[int], turns: list[tuple[str, int]], kills: int
) -> None:
    """However what they tell is read, and whoever is killed amid that; and who comes later has lost nothing."""
    net = Net(4)
    net.hear_all()
    net.had(session(home, left_at=1000))
    attempts = [Attempt(net, to) for to in workers]
    for what, number in turns:
        if what == "kill" and kills:
            kills -= 1
            net.kill(number)
        elif what == "step":
            attempts[number % len(attempts)].step()
        elif what == "hear" and number in net.alive and net.alive[number].read < len(net.posts):
            net.alive[number].hear()
    finished(net, attempts)
    have_it = [one for one in attempts if one.has_won and one.station.number in net.alive]
    assert len(have_it) <= 1
    asked = [one for one in attempts if one.station.number in net.alive]
    if asked and len(asked) == len(attempts) and len(net.alive) == 4:
        assert len(have_it) == 1
    if not have_it:
        late = Attempt(net, min(net.alive))
        finished(net, [late])
        assert late.has_won


def test_an_attempt_that_comes_to_nothing_leaves_the_session_to_the_next() -> None:
    """Its offset is none: so it begins anew, and who has got the right one is recovered."""
    net = Net(3)
    net.hear_all()
    net.had(session(1, left_at=1000))
    attempt = Attempt(net, 2, "garbage")
    finished(net, [attempt])
    assert not attempt.has_won
    late = Attempt(net, 3)
    finished(net, [late])
    assert late.has_won


def test_who_has_just_come_is_not_robbed_by_one_who_asked_at_the_same_time() -> None:
    """Later it is: a client knows before its worker does that its connection is dead."""
    net = Net(3)
    net.hear_all()
    net.had(session(1, left_at=1000))
    first, second = Attempt(net, 2), Attempt(net, 3)
    finished(net, [first])
    finished(net, [second])
    assert (first.has_won, second.has_won) == (True, False)
    net.now += 2000
    third = Attempt(net, 3)
    finished(net, [third])
    assert third.has_won


# --- what cannot be sent ---------------------------------------------------------------------------


def test_a_session_that_cannot_be_sent_is_given_up_to_nobody_but_its_own_worker() -> None:
    station = Net(1).alive[1]
    strange = structs.replace(session(1), data={"at": object()})
    station.memory.sessions.keep(strange, 1000)
    question = {"claim": structs.asdict(claim())}
    assert station._claimed(question) is None
    found = station._found_here(claim())
    assert found is not None
    assert found.session.data is strange.data
    station.memory.sessions.keep(structs.replace(strange, data={}), 1000)
    assert station._claimed(question)["is_given"]
