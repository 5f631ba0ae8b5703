"""Events with ``recovery``: each is numbered, told to others and kept in one step; who comes back has each once."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import Mock

import pytest
import socketio
from stand_in_seat import StandInSeat

from nodecluster_compat.errors import MessageNotSerializable, MessageTooLarge
from nodecluster_compat.sharing.group_desk import ALL_OTHERS
from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager
from nodecluster_compat.socketio.recovery.offsets import NOTHING, Offset
from nodecluster_compat.socketio.recovery.packet_log import Packet
from nodecluster_compat.socketio.wire import Told


class Greenlets:
    """A manager of worker 1 with a client in room ``big``, in a server of threads or greenlets."""

    made: type[Any] = ClusterManager

    def __init__(self) -> None:
        self.manager: Any = self.made(recovery=60)
        self.seat = StandInSeat(self.manager)
        self.sent: list[str] = []
        self.told_before: list[int] = []
        self.manager.server = SimpleNamespace(packet_class=socketio.packet.Packet, _send_eio_packet=self.sends())
        for room in (None, "big"):
            self.manager.basic_enter_room("sid", "/", room, eio_sid="eio")

    def sends(self) -> Any:
        return self._send

    def _send(self, _: str, packet: Any) -> None:
        self.sent.append(packet.data)
        self.told_before.append(len(emitted(self.seat)))

    def emit(self, *arguments: Any, **options: Any) -> None:
        self.manager.emit(*arguments, **options)

    def hear(self, told: Told) -> None:
        self.manager._handle_emit(told)


class Tasks(Greenlets):
    """In a server of tasks."""

    made = AsyncClusterManager

    def sends(self) -> Any:
        async def send(*sent: Any) -> None:
            self._send(*sent)

        return send

    def emit(self, *arguments: Any, **options: Any) -> None:
        asyncio.run(self.manager.emit(*arguments, **options))

    def hear(self, told: Told) -> None:
        asyncio.run(self.manager._handle_emit(told))


@pytest.fixture(params=[Greenlets, Tasks])
def worker(request: pytest.FixtureRequest) -> Greenlets:
    made: Greenlets = request.param()
    return made


def emitted(seat: StandInSeat) -> list[Told]:
    return [told for _, told in seat.told if told["method"] == "emit"]


def kept(manager: Any) -> list[Packet]:
    return list(manager.memory.missed(NOTHING, "sid", "/", ["big"], None).packets)


# --- one step --------------------------------------------------------------------------------------


def test_tasks_tell_others_in_the_order_of_the_numbers() -> None:
    """Also where one of them goes on to many clients of this worker, and another to none."""
    worker = Tasks()

    async def both() -> None:
        await asyncio.gather(
            worker.manager.emit("told", "first", room="big"), worker.manager.emit("told", "second", room="elsewhere")
        )

    asyncio.run(both())
    assert [told["packet"][1] for told in emitted(worker.seat)] == [1, 2]
    assert len(worker.seat.waited_for) == 2


def test_others_are_told_before_clients_are_and_once(worker: Greenlets) -> None:
    worker.emit("told", 1, room="big")
    assert worker.told_before == [1]
    assert len(worker.sent) == len(emitted(worker.seat)) == 1


class Lock:
    """Says whether it is held."""

    is_held = False

    def __enter__(self) -> None:
        self.is_held = True

    def __exit__(self, *_: object) -> None:
        self.is_held = False


def locked(worker: Greenlets) -> Lock:
    worker.manager.memory.lock = lock = Lock()
    return lock


def test_a_thread_numbers_and_tells_with_the_lock_and_waits_without() -> None:
    worker, held = Greenlets(), list[bool]()
    lock = locked(worker)
    for name in ("begin_post", "wait_for"):
        setattr(worker.seat, name, lambda *_: held.append(lock.is_held))
    worker.emit("told", 1, room="big")
    assert held == [True, False]


def test_a_client_leaves_its_rooms_with_the_lock() -> None:
    """It may come back to the same worker amid that."""
    worker, held = Greenlets(), list[bool]()
    lock = locked(worker)
    worker.manager.basic_leave_room = lambda *_: held.append(lock.is_held)
    worker.manager.basic_disconnect("sid", "/")
    assert held == [True, True]


def test_what_another_worker_asks_is_answered_with_the_lock() -> None:
    """What has a number by then is on its way, so the answer comes behind it."""
    worker, held = Greenlets(), list[bool]()
    lock, missed = locked(worker), worker.manager.memory.missed

    def noted(*asked: Any) -> Any:
        held.append(lock.is_held)
        return missed(*asked)

    worker.manager.memory.missed = noted
    claim = {"pid": "p", "namespace": "/", "by": "first", "to": 2}
    worker.manager._missed_here({"claim": claim, "offset": "", "sid": "s", "namespace": "/", "rooms": []})
    assert held == [True]


@pytest.mark.parametrize("error", [MessageNotSerializable, MessageTooLarge])
def test_what_cannot_be_sent_is_neither_numbered_nor_given_to_clients(
    worker: Greenlets, error: type[Exception]
) -> None:
    if error is MessageTooLarge:
        worker.seat.begin_post = Mock(side_effect=error)  # type: ignore[method-assign]
    with pytest.raises(error):
        worker.emit("told", object() if error is MessageNotSerializable else 1, room="big")
    assert worker.sent == kept(worker.manager) == []
    assert worker.manager.memory.next_packet()[1] == 1


def test_what_changes_after_it_was_emitted_was_missed_as_it_was(worker: Greenlets) -> None:
    state: dict[str, Any] = {"turn": 1, "names": ["Ada"]}
    worker.emit("state", state, room="big")
    state["turn"] = 2
    state["names"].clear()
    [packet] = kept(worker.manager)
    assert packet.told["data"] == [{"turn": 1, "names": ["Ada"]}]


# --- whom it is for is away ------------------------------------------------------------------------

OWN: Final = "wGf0hLQyoVuhV3R6AAAA.1"


def test_what_is_for_a_client_that_is_away_others_keep_as_well(worker: Greenlets) -> None:
    """Its worker may end before it comes back; and nobody passes that on to this worker."""
    worker.emit("told", "away", room=OWN)
    assert [(target, told["passed"]) for target, told in worker.seat.told] == [(ALL_OTHERS, True)]
    worker.manager.basic_enter_room(OWN, "/", None, eio_sid="eio of it")
    worker.manager.basic_enter_room(OWN, "/", OWN)
    worker.emit("told", "here", to=[OWN])
    assert len(worker.seat.told) == len(worker.sent) == 1


def test_what_a_worker_emits_that_leaves_others_keep_as_well(worker: Greenlets) -> None:
    """It has handed over what it had, and its clients go now."""
    worker.manager.basic_enter_room(OWN, "/", None, eio_sid="eio of it")
    worker.manager._hand_over()
    worker.emit("told", "last words", room=OWN)
    assert [told["data"] for told in emitted(worker.seat)] == [["last words"]]


def test_what_is_for_a_client_alone_is_passed_on_however_it_is_addressed(worker: Greenlets) -> None:
    worker.manager.members = frozenset({2, 3})
    worker.manager.memory.has_moved(OWN, 3)
    for room in (OWN, [OWN]):
        assert worker.manager._unpacked({"method": "emit", "room": room, "namespace": "/"}, 2) is None
    assert [target for target, _ in worker.seat.told] == [3, 3]


# --- each once -------------------------------------------------------------------------------------


def test_what_a_manager_emits_that_recovers_nothing_is_not_numbered_by_each_that_hears_it(worker: Greenlets) -> None:
    """Else each worker would have missed it by a number of its own."""
    told = {"method": "emit", "event": "told", "data": [1], "binary": False, "namespace": "/", "room": "big"}
    worker.hear({**told, "skip_sid": None, "callback": None, "host_id": "of another"})
    assert worker.sent == ['2["told",1]']
    assert kept(worker.manager) == emitted(worker.seat) == []


def test_what_a_client_had_from_an_answer_does_not_come_again(worker: Greenlets) -> None:
    """Its former worker passes on what was for it, perhaps later than the answer of who has emitted it."""
    told = {"method": "emit", "event": "told", "data": [1], "binary": False, "namespace": "/", "room": "big"}
    told.update(skip_sid=None, callback=None, host_id="of another")
    memory = worker.manager.memory
    now = memory.clock()
    memory.takes_in("sid", Offset(now, {2: 6}), [Packet(2, 7, now, told)])
    for number in (7, 8):
        worker.hear({**told, "packet": [2, number, now]})
    assert len(worker.sent) == 1
    assert [packet.told["skip_sid"] for packet in kept(worker.manager)] == [None, None]


def test_two_managers_of_a_channel_number_together(worker: Greenlets) -> None:
    """One that only emits has no client: what it emits is missed as what the other emits is."""
    only_emits = ClusterManager(recovery=60, write_only=True)
    only_emits._seat, only_emits._seat_pid = worker.manager._seat, os.getpid()
    worker.emit("told", "first", room="big")
    only_emits.emit("told", "second", room="big")
    worker.emit("told", "third", room="big")
    assert [packet.told["data"] for packet in kept(worker.manager)] == [["first"], ["second"], ["third"]]
    assert [told["packet"][1] for told in emitted(worker.seat)] == [1, 2, 3]
