"""What workers remember for clients that come back: offsets, packets, sessions; no process, and a clock of the test."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stand_in_seat import StandInSeat

from nodecluster_compat.errors import MessageTooLarge
from nodecluster_compat.sharing.remote_groups import FIRST_REMOTE
from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager, shared
from nodecluster_compat.socketio.events import pack_event, unpack_event
from nodecluster_compat.socketio.group_seat import Envelope, GroupSeat
from nodecluster_compat.socketio.recovery import packet_log, telling
from nodecluster_compat.socketio.recovery.keeping import Client
from nodecluster_compat.socketio.recovery.memory import Memory, Missed
from nodecluster_compat.socketio.recovery.offsets import NOTHING, Offset, decode_offset, encode_offset
from nodecluster_compat.socketio.recovery.packet_log import Packet, PacketLog
from nodecluster_compat.socketio.recovery.sessions import Session, Sessions

NUMBERS = st.integers(1, 2**40)


class Clock:
    now = 1000

    def __call__(self) -> int:
        return self.now


def told(room: Any = None, **more: Any) -> dict[str, Any]:
    return {"namespace": "/", "room": room, "skip_sid": None, **more}


def packet(sender: int, number: int, time: int = 1000, room: Any = None, size: int = 1) -> Packet:
    return Packet(sender, number, time, told(room), size)


def sends(memory: Memory, **more: Any) -> None:
    memory.received(*memory.next_packet(), told("room", **more), 1)


def session(pid: str = "p", home: int = 1, **more: Any) -> Session:
    return Session(pid, f"sid of {pid}", "/", ["room"], {}, home, encode_offset(NOTHING), 0, **more)


# --- offsets ---------------------------------------------------------------------------------------


@given(st.builds(Offset, NUMBERS, st.dictionaries(NUMBERS, NUMBERS, max_size=20)))
def test_an_offset_comes_back_as_it_was_given(offset: Offset) -> None:
    assert decode_offset(encode_offset(offset)) == offset


@given(st.one_of(st.text(alphabet="0af:-,", max_size=30), st.text(), st.none(), st.integers(), st.lists(st.text())))
def test_whatever_a_client_gives_as_offset_is_one_or_none(given_back: object) -> None:
    offset = decode_offset(given_back)
    assert offset is None or decode_offset(encode_offset(offset)) == offset


def test_an_offset_that_is_too_long_is_none() -> None:
    assert decode_offset("1:" + ",".join(["1-1"] * 2000)) is None


# --- packets ---------------------------------------------------------------------------------------


def test_a_packet_is_for_its_rooms_but_not_for_who_is_skipped() -> None:
    rooms = ["me", "room"]
    assert packet(1, 1).is_for("me", "/", rooms)
    assert packet(1, 1, room="room").is_for("me", "/", rooms)
    assert packet(1, 1, room=["other", "room"]).is_for("me", "/", rooms)
    assert not packet(1, 1, room="other").is_for("me", "/", rooms)
    assert not packet(1, 1).is_for("me", "/admin", rooms)
    assert not Packet(1, 1, 0, told(skip_sid="me")).is_for("me", "/", rooms)
    assert not Packet(1, 1, 0, told(skip_sid=["x", "me"])).is_for("me", "/", rooms)


def test_packets_are_kept_for_a_time_and_once() -> None:
    log = PacketLog(500)
    for one in (packet(1, 1, 1000), packet(1, 1, 1000), packet(2, 1, 1400)):
        log.add(one, one.time)
    assert len(log) == 2
    log.add(packet(1, 2, 1600), 1600)
    assert [(one.sender, one.number) for one in log.after(NOTHING, 1600)] == [(2, 1), (1, 2)]
    assert [(one.sender, one.number) for one in log.after(NOTHING, 2000)] == [(1, 2)]  # though nothing came
    assert log.complete_since == 0  # nobody asks for what is too old


class Counted:
    """A packet that notes who looks at its number."""

    time = size = 1
    looks = 0

    def __init__(self, sender: int, number: int) -> None:
        self.sender, self._number = sender, number

    @property
    def number(self) -> int:
        Counted.looks += 1
        return self._number


def test_who_comes_back_costs_what_was_missed_however_much_is_kept() -> None:
    log = PacketLog(500)
    for number in range(1, 1001):
        for sender in (1, 2):
            log.add(cast("Packet", Counted(sender, number)), 1)
    Counted.looks = 0
    missed = log.after(Offset(1, {1: 998, 2: 1000}), 1)
    assert Counted.looks < 20
    assert [(one.sender, one.number) for one in missed] == [(1, 999), (1, 1000)]
    assert log.after(NOTHING, 1, but_of={1, 2}) == []


def test_what_was_handed_over_late_comes_in_its_order_and_is_forgotten_first() -> None:
    log = PacketLog(500)
    for one in (packet(1, 3, 1300), packet(1, 4, 1400), packet(1, 1, 1100), packet(1, 2, 1200)):
        log.add(one, 1400)
    assert [one.number for one in log.after(Offset(0, {1: 1}), 1400)] == [2, 3, 4]
    assert [one.number for one in log.after(NOTHING, 1750)] == [3, 4]


@pytest.mark.parametrize(("most", "value"), [("MOST_PACKETS", 2), ("MOST_BYTES", 20)])
def test_of_too_many_packets_a_log_says_since_when_it_is_complete(
    monkeypatch: pytest.MonkeyPatch, most: str, value: int
) -> None:
    monkeypatch.setattr(packet_log, most, value)
    log = PacketLog(10_000)
    for number in range(1, 5):
        log.add(packet(1, number, 1000 + number, size=10), 1000 + number)
    assert [one.number for one in log.after(NOTHING, 1004)] == [3, 4]
    assert log.complete_since == 1002


# --- sessions --------------------------------------------------------------------------------------


def test_a_session_is_kept_while_its_client_may_come_back() -> None:
    sessions = Sessions(500)
    sessions.keep(session(left_at=1000), 1000)
    assert sessions.get("p", 1500) is not None
    assert sessions.get("p", 1501) is None
    assert len(sessions) == 0


def test_sessions_whose_time_is_over_are_forgotten_as_others_come() -> None:
    """However few there are; those of clients that are connected stay, and those who came back and left again."""
    sessions = Sessions(500)
    sessions.keep(session("connected"), 1000)
    for number in range(1000):
        sessions.keep(session(f"left {number}", left_at=1000 + number), 1000 + number)
    sessions.keep(session("left 999", version=1), 2000)
    sessions.keep(session("left 999", version=2, left_at=2400), 2400)
    assert len(sessions) == 1 + 100
    assert sessions.forget_old(2500) == 401  # "left 999", as it left first
    assert {one.pid for one in sessions} == {"connected", "left 999"}
    assert sessions.forget_old(2901) is None
    assert {one.pid for one in sessions} == {"connected"}


def test_what_is_older_does_not_replace_what_is_newer() -> None:
    sessions = Sessions(500)
    sessions.keep(session(home=2, version=5), 0)
    sessions.keep(session(home=1, version=4), 0)
    kept = sessions.get("p", 0)
    assert kept is not None
    assert kept.home == 2


def test_who_had_a_worker_that_is_gone_has_time_from_then_on() -> None:
    sessions = Sessions(500)
    sessions.keep(session("a", home=1), 0)
    sessions.keep(session("b", home=2), 0)
    sessions.lost(1, 9000)
    assert sessions.get("a", 9500) is not None
    assert sessions.get("a", 9501) is None
    assert sessions.get("b", 99_999) is not None


# --- what workers say together ---------------------------------------------------------------------


def test_what_was_missed_is_sorted_and_each_comes_once() -> None:
    parts = [Missed([packet(1, 2, 1005), packet(2, 1, 1003)], 0, 900), Missed([packet(2, 1, 1003)], 0, 2000)]
    merged = Memory.merged(Offset(1000, {1: 1}), 0, parts)
    assert merged is not None
    assert [(one.sender, one.number) for one in merged] == [(2, 1), (1, 2)]


def test_what_came_from_another_host_keeps_its_order() -> None:
    """Each worker has heard it at a time of its own."""
    far = FIRST_REMOTE
    parts = [
        Missed([packet(far, 1, 1009), packet(far, 2, 1010)], 0, 900),
        Missed([packet(far, 1, 1001), packet(far, 2, 1002)], 0, 900),
        Missed([packet(far, 1, 1005), packet(1, 1, 1003)], 0, 900),
    ]
    merged = Memory.merged(Offset(1000, {}), 0, parts)
    assert merged is not None
    assert [(one.sender, one.number) for one in merged] == [(far, 1), (far, 2), (1, 1)]


def test_the_clock_of_another_host_says_nothing_here() -> None:
    """It counts from when that machine was started: any number of days from ours."""
    manager = ClusterManager(recovery=60)
    now = manager.memory.clock()
    message = {"method": "emit", "packet": [1, 5, 10**12]}
    assert manager._spans(FIRST_REMOTE, message)
    sender, number, time = message["packet"]
    assert (sender, number) == (FIRST_REMOTE, 5)
    assert now <= time <= manager.memory.clock()


def test_what_was_sent_before_a_client_came_first_is_not_its_own() -> None:
    parts = [Missed([packet(1, 1, 1000), packet(1, 2, 1005)], 0, 900)]
    merged = Memory.merged(Offset(1001, {}), 1001, parts)
    assert merged is not None
    assert [one.number for one in merged] == [2]


def test_where_something_may_be_lacking_nothing_is_said() -> None:
    """A sender has forgotten packets of that time; or nobody was there, and those that were are gone."""
    assert Memory.merged(Offset(1000, {}), 0, [Missed([], 1001, 900)]) is None
    assert Memory.merged(Offset(1000, {}), 0, [Missed([], 0, 1001), Missed([], 0, 1002)]) is None
    assert Memory.merged(Offset(1000, {}), 0, [Missed([], 0, 1001), Missed([], 0, 1000)]) == []


def test_each_worker_answers_for_itself_and_for_those_that_are_gone() -> None:
    clock = Clock()
    memory = Memory(1, 60, clock)
    sends(memory)
    for sender in (2, 3):
        memory.received(sender, 1, 1000, told("room"), 1)
    missed = memory.missed(NOTHING, "me", "/", ["me", "room"], alive=[2])
    assert [one.sender for one in missed.packets] == [1, 3]


def test_a_client_that_moves_on_is_not_told_again_what_only_it_was_told() -> None:
    """The worker that it comes to has not seen that packet, and its own offsets must cover it."""
    clock = Clock()
    memory = Memory(1, 60, clock)
    memory.received(2, 5, 1000, told("room"), 1)
    memory.takes_in("me", Offset(1001, {2: 6}), [packet(3, 1, 1002)])
    offset = decode_offset(memory.offset_now())
    assert offset is not None
    assert offset.has(2, 6)
    assert offset.has(3, 1)


def test_what_a_worker_said_that_is_gone_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither soon, where the worker of a client has had to forget it, nor late, where another has heard nothing."""
    clock = Clock()
    memory, other = Memory(3, 60, clock), Memory(2, 60, clock)
    for one in (memory, other):
        one.received(1, 1, 1000, told("room"), 1)
    monkeypatch.setattr(packet_log, "MOST_PACKETS", 1)
    for minutes, knows_it in ((0, True), (1, True), (60, False)):
        clock.now = 1000 + minutes * 60_000
        sends(memory, data=["to its own clients"])
        memory.members_changed({2}, {2})
        assert (1 in memory.offset.seen) == knows_it
        assert other.missed(memory.offset, "me", "/", ["room"], alive=[3]).packets == []


def test_what_a_client_invents_does_not_go_into_the_offsets_of_others() -> None:
    """It may say any number: what no worker has seen nobody has seen."""
    memory = Memory(1, 60, Clock())
    sends(memory)
    parts = [Missed([packet(3, 2, 1002)], 0, 900, seen="3ea:2-7,3-1")]
    invented = Offset(2**47, {1: 2**47, 2: 2**47, 3: 2**47, 4711: 1})
    credible = memory.credible(invented, session(), parts)
    assert credible == Offset(1002, {1: 1, 2: 7, 3: 2})
    memory.takes_in("me", credible, [])
    sends(memory)
    assert memory.offset == Offset(1002, {1: 2, 2: 7, 3: 2})


def test_what_a_client_had_when_it_connected_it_has_whoever_is_gone_since() -> None:
    memory = Memory(1, 60, Clock())
    base = Offset(5000, {9: 3})
    credible = memory.credible(base, structs.replace(session(), base=encode_offset(base)), [])
    assert credible == Offset(5000, {9: 3})


def test_a_worker_that_is_new_has_seen_what_those_that_greet_it_have() -> None:
    memory = Memory(3, 60, Clock())
    memory.greeted("3e8:1-7,2-4")
    memory.greeted("garbage")
    assert memory.offset.seen == {1: 7, 2: 4}


def test_who_is_handed_over_all_of_his_seniors_knows_what_they_knew() -> None:
    clock = Clock()
    elder = Memory(1, 60, clock)
    sends(elder)
    clock.now = 5000
    newcomer = Memory(2, 60, clock)
    newcomer.members_changed({1, FIRST_REMOTE}, {1})  # those of other hosts hand nothing over
    assert newcomer.missed(NOTHING, "me", "/", ["room"], alive=[]).knows_since == 5000
    for part in elder.hand_over(alive=[2]):
        newcomer.handed_over(1, part)
    missed = newcomer.missed(NOTHING, "me", "/", ["room"], alive=[])
    assert missed.knows_since == 1000
    assert [(one.sender, one.number) for one in missed.packets] == [(1, 1)]


def test_client_is_believed_what_only_its_former_worker_had_told_it() -> None:
    """That has handed over what it told: all others have no number of an event that was for one client."""
    leaving, staying = Memory(1, 60, Clock()), Memory(2, 60, Clock())
    for _ in range(4):
        sends(leaving)
    said = Offset(5000, {1: 4})
    assert staying.credible(said, session(), []).seen == {}
    for part in leaving.hand_over(alive=[2]):
        staying.handed_over(1, part)
    assert staying.credible(said, session(), []).seen == {1: 4}
    assert staying.credible(Offset(5000, {1: 9}), session(), []).seen == {1: 4}


def test_a_newcomer_is_told_each_session_once() -> None:
    """By its home; by the oldest, if its home is gone."""
    first, second = Memory(1, 60, Clock()), Memory(2, 60, Clock())
    for memory in (first, second):
        for one in (session("a", home=1), session("b", home=2), session("c", home=9)):
            memory.sessions.keep(one, 0)
    assert [one.pid for one in first.sessions_for_newcomer({2})] == ["a", "c"]
    assert [one.pid for one in second.sessions_for_newcomer({1})] == ["b"]


def test_a_worker_that_is_gone_may_have_told_a_newcomer_nothing() -> None:
    """The oldest that is left does, of all clients whose worker is gone; and so does each that leaves."""
    second, third = Memory(2, 60, Clock()), Memory(3, 60, Clock())
    for memory in (second, third):
        for home in (1, 2, 3):
            memory.sessions.keep(session(f"of {home}", home), 1000)
    assert [one.pid for one in second.sessions_after_loss({3, 4})] == ["of 1"]
    assert third.sessions_after_loss({2, 4}) == []
    assert [one.pid for one in third.sessions_after_loss({4})] == ["of 1", "of 2"]
    assert [one.pid for one in third.sessions_at_leaving({2, 4})] == ["of 1", "of 3"]


# --- what is told of sessions ----------------------------------------------------------------------


def manager_with(*sessions: Session) -> tuple[ClusterManager, StandInSeat, Clock]:
    manager, clock = ClusterManager(recovery=60), Clock()
    seat = StandInSeat(manager)
    manager.memory.clock = clock
    manager.told_session(2, {"sessions": [structs.asdict(one) for one in sessions]})
    return manager, seat, clock


def test_sessions_expire_in_a_worker_to_which_nothing_happens() -> None:
    """One timer at a time, not more than one a second, and none where nobody has left."""
    manager, seat, clock = manager_with(session("connected"))
    assert seat.later == []
    for number, left_at in enumerate((900, 950, 5000)):
        manager.told_session(2, {"sessions": [structs.asdict(session(f"left {number}", left_at=left_at))]})
    assert [seconds for seconds, _ in seat.later] == [pytest.approx(59.901)]
    clock.now = 900 + 60_001
    seat.later[0][1]()
    assert seat.later[1][0] == 1.0
    clock.now = 5000 + 60_001
    seat.later[1][1]()
    assert [one.pid for one in manager.memory.sessions] == ["connected"]
    assert len(seat.later) == 2


def test_others_are_told_what_an_application_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """In case that this worker is killed; whoever asked for it."""
    manager, seat, _ = manager_with()
    manager._clients["/", "sid"] = Client("a", {})
    manager.memory.sessions.keep(session("a"), 1000)
    socket = SimpleNamespace(session={}, upgraded=True)
    monkeypatch.setattr(manager, "_socket_of", lambda _: socket)
    monkeypatch.setattr(manager, "_current", lambda *_: structs.replace(session("a"), data=socket.session["/"]))
    saved = {"sid": "sid", "namespace": "/", "session": {"user": "Ada"}}
    assert manager._facts["save"](manager, saved)
    assert [told["sessions"][0]["data"] for _, told in seat.told] == [{"user": "Ada"}]


def test_a_newcomer_is_told_in_pieces_of_those_who_may_come_back() -> None:
    """And once what this worker has seen, also where there is nobody to tell of."""
    over = [session(f"over {number}", left_at=1000) for number in range(300)]
    alive = [session(f"alive {number}", left_at=2000) for number in range(telling.MOST_ITEMS + 1)]
    manager, seat, clock = manager_with(*alive, *over)  # who left first was told of last
    clock.now = 1000 + 60_001
    manager._members_changed(frozenset({2}))
    assert [target for target, _ in seat.told] == [2, 2]
    pieces = [[one["pid"] for one in told["sessions"]] for _, told in seat.told]
    assert pieces == [[one.pid for one in alive[:-1]], [alive[-1].pid]]
    assert ["seen" in told for _, told in seat.told] == [True, False]

    manager, seat, _ = manager_with()
    manager._members_changed(frozenset({2}))
    assert [(target, told["sessions"], "seen" in told) for target, told in seat.told] == [(2, [], True)]


def test_a_session_that_cannot_be_sent_stays_with_its_worker(caplog: pytest.LogCaptureFixture) -> None:
    """Others are told where its client is, and cannot give it to anybody: that is said once."""
    strange = [structs.replace(session(f"strange {number}"), data={"at": object()}) for number in range(2)]
    manager, seat, _ = manager_with()
    manager._tell_sessions(0, [session("a"), *strange, session("b")])
    sessions = [one for _, told in seat.told for one in told["sessions"]]
    assert [one["pid"] for one in sessions] == ["a", "strange 0", "strange 1", "b"]
    others, _, _ = manager_with()
    others.told_session(1, {"sessions": sessions})
    assert [one.pid for one in others.memory.sessions.alive(1000)] == ["a", "b"]
    assert caplog.text.count("stays with its worker") == 1
    assert "not JSON serializable" in caplog.text


def test_what_cannot_be_sent_does_not_keep_a_worker_from_handing_over_the_rest() -> None:
    manager, seat, _ = manager_with()
    for value in (object(), "plain"):
        sends(manager.memory, data=[value])
    manager._hand_over()
    assert handed(seat) == [([["plain"]], False), ([], True)]


def handed(seat: StandInSeat) -> list[tuple[list[Any], bool]]:
    parts = [message["part"] for _, message in seat.told if message["method"] == "handed"]
    return [([one["told"]["data"] for one in part["packets"]], part["is_last"]) for part in parts]


def test_what_is_handed_over_goes_in_pieces_without_what_is_too_large(caplog: pytest.LogCaptureFixture) -> None:
    manager, seat, _ = manager_with()
    half = telling.MOST_BYTES // 2
    for value in ("a", "b", "too large", "c"):
        manager.memory.received(*manager.memory.next_packet(), told("room", data=[value]), half)
    begin_post = seat.begin_post

    def limited(body: bytes, *more: Any) -> object:
        if b"too large" in body:
            raise MessageTooLarge("expected less")
        return begin_post(body, *more)

    seat.begin_post = limited  # type: ignore[method-assign]
    manager._hand_over()
    assert handed(seat) == [([["a"], ["b"]], False), ([["c"]], False), ([], True)]
    assert caplog.text.count("expected less") == 1


@pytest.mark.parametrize("kind", [ClusterManager, AsyncClusterManager])
def test_a_worker_that_cannot_hand_over_moves_its_clients_all_the_same(kind: Any) -> None:
    manager = kind(recovery=60)
    manager.server = Mock()
    manager._hand_over = Mock(side_effect=RuntimeError)
    with pytest.raises(RuntimeError):
        manager._begin_moving()
    assert [call.args[1] for call in manager.server.start_background_task.call_args_list] == [manager.server]


def test_an_event_of_a_worker_that_recovers_nothing_goes_to_clients_as_it_is() -> None:
    """While a reload turns recovery on, the workers before it go on to emit."""
    manager, _, _ = manager_with()
    sent: list[str] = []
    manager.server = SimpleNamespace(_send_eio_packet=lambda eio_sid, packet: sent.append(packet.data))
    manager.basic_enter_room("sid", "/", None, eio_sid="eio")
    body = pack_event({"namespace": "/", "room": None, "skip_sid": None, "host_id": "x"}, '2["told",1]')
    assert body is not None
    manager._handle_emit(unpack_event(body))
    assert sent == ['2["told",1]']


def test_what_fails_as_workers_come_ends_no_listening_and_is_not_done_again() -> None:
    manager, seat, _ = manager_with(session(home=1))
    begin_post, seat.begin_post = seat.begin_post, Mock(side_effect=RuntimeError)  # type: ignore[method-assign]
    assert manager._opened(Envelope(1, b"", members=frozenset({2}))) is None
    seat.begin_post.assert_called()
    seat.begin_post = begin_post  # type: ignore[method-assign]
    assert manager._opened(Envelope(1, b"", members=frozenset({2, 3}))) is None
    assert [target for target, _ in seat.told] == [3]


def test_who_listens_again_listens_once() -> None:
    """What is told into a queue that nobody reads would hold up whatever comes from the primary."""
    seat, puts = GroupSeat.__new__(GroupSeat), [Mock(), Mock(), Mock()]
    seat.worker_id, seat._readers, seat._has_heard = 1, [], False
    seat._group = cast("Any", SimpleNamespace(lock=nullcontext()))
    another, former, put = puts
    for one in puts[:2]:
        seat.attach(one)
    seat.attach(put, former)
    seat._posted(2, b"told")
    assert [one.call_count for one in (another, former, put)] == [1, 0, 1]
    assert put.call_args[0][0].readers == 2


def test_who_listens_again_moves_its_clients_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moves = Mock()
    monkeypatch.setattr(shared, "process", SimpleNamespace(on=moves))
    manager, seat, _ = manager_with()
    seat.attach = Mock()  # type: ignore[attr-defined]
    for _ in range(2):
        manager._listen_by(Mock())
    moves.assert_called_once_with("disconnecting", manager._begin_moving)


def test_a_piece_has_few_bytes_unless_one_session_has_more() -> None:
    half = structs.replace(session("half"), data="x" * (telling.MOST_BYTES // 2))
    whole = structs.replace(session("whole"), data="x" * telling.MOST_BYTES)
    made = telling.pieces([half, half, session(), whole, session()])
    assert [len(piece) for piece in made] == [1, 2, 1, 1]
    assert telling.pieces([]) == []
    assert telling.size_of(object()) == telling.size_of({1: object()}) > 0
