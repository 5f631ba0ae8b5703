"""What is dealt in C is dealt as in Python, whatever happens; and what C leaves alone, Python finds as it was."""

from __future__ import annotations

import itertools
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from dealt_twice import DEEDS, POLICIES, Dealt, dealt
from engine_rig import EngineRig, Played
from hypothesis import example, given
from hypothesis import strategies as st

from nodecluster_compat.base.native import PYTHON, in_force
from nodecluster_compat.connections.dealing import Dealing
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.packets import PacketKind
from nodecluster_compat.connections.policies.client_address import key_of

pytestmark = [
    pytest.mark.skipif(in_force().module is None, reason="there is no C extension here"),
    pytest.mark.usefixtures("no_leaks"),
]


def told(
    *deeds: tuple[object, int], listeners: int = 1, holds_back: bool = False, policy: int = 0, is_tcp: bool = False
) -> bytes:
    """Return the input that says so."""
    numbers = [number * len(DEEDS) + DEEDS.index(deed) for deed, number in deeds]  # type: ignore[arg-type]
    return bytes([(0 if listeners == 1 else 0x80) + holds_back + 2 * policy + 0x40 * is_tcp, *numbers])


@given(st.binary(max_size=40))
def test_c_deals_what_python_deals(data: bytes) -> None:
    assert dealt(data, in_force()) == dealt(data, PYTHON)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.10.99", "127.100.255.254"])
def test_address_of_a_client_is_what_the_standard_library_says(host: str) -> None:
    rig = EngineRig(asks=False, choice=in_force())
    try:
        worker = rig.worker()
        rig.hosts = iter([host])
        rig.connect()
        assert worker.end.offered == (rig.listener_ids[0], rig.clients[0].getsockname(), 0)
    finally:
        rig.close()


@pytest.mark.parametrize("policy", range(len(POLICIES)))
@pytest.mark.parametrize("listeners", [1, 2])
def test_each_policy_chooses_the_same(policy: int, listeners: int) -> None:
    """Among workers that have served more or less, of which some are busy, and come and go."""
    deeds = [(Dealt.new_worker, 0), *[(Dealt.connect, 0)] * 4, *((Dealt.take, number) for number in (2, 0, 3, 1))]
    deeds += [(Dealt.end, 3), (Dealt.end, 3), (Dealt.burst, 3), (Dealt.take, 1), (Dealt.connect, 0), (Dealt.end, 0)]
    deeds += [*((Dealt.take, number) for number in (3, 1, 0, 2)), (Dealt.end, 2), (Dealt.burst, 1)]
    after = [(Dealt.lost, 1), (Dealt.connect, 0), (Dealt.take, 3), (Dealt.leave, 0), (Dealt.burst, 2), (Dealt.take, 2)]
    data = told(*deeds * 3, *after * 2, listeners=listeners, policy=policy, is_tcp=True)
    assert dealt(data, in_force()) == dealt(data, PYTHON)


def _deal_without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("add", "idle"):
        monkeypatch.delattr(Dispatcher, name)
    for name in ("_place", "_deal_to", "_deal_line"):
        monkeypatch.delattr(Dealing, name)


@pytest.mark.parametrize("policy", range(1, 7))
def test_policies_of_ours_choose_without_python(policy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dealt_in_c = Dealt(in_force(), 1, policy, socket.AF_INET)
    with dealt_in_c.running():
        (listener,) = dealt_in_c.engine.listeners
        monkeypatch.delattr(type(listener.dispatcher._policy), "choose")
        _deal_without_python(monkeypatch)
        monkeypatch.delattr(type(listener), "_readable")
        for _ in range(9):
            dealt_in_c.connect(0)
            for number in (0, 1):
                dealt_in_c.take(number)
            dealt_in_c.turn(0)
            dealt_in_c.end(1)
        assert sum(worker.end.handed for worker in dealt_in_c.rig.workers) == 9
        monkeypatch.undo()


@given(
    st.one_of(st.ip_addresses().map(str), st.text("0123456789abcdef:.%f", max_size=24), st.text(max_size=8)),
    st.integers(1, 32),
    st.integers(1, 128),
)
@example("::ffff:1.2.3.4", 8, 8)
@example("fe80::1%eth0", 8, 64)
@example("1.2.3.4\0", 32, 128)
@example("\udc80", 32, 128)
def test_network_of_a_client_has_the_same_number(host: str, ipv4_prefix: int, ipv6_prefix: int) -> None:
    module = in_force().module
    assert module is not None
    expected = key_of((host, 0), ipv4_prefix, ipv6_prefix)
    assert module.client_key(host, ipv4_prefix, ipv6_prefix) == expected


@pytest.mark.parametrize("listeners", [1, 2])
@pytest.mark.parametrize("slow", [0, 1])
def test_saturated_workers_get_the_same(listeners: int, slow: int) -> None:
    """All have an offer, a line waits, and each takes its own in a different order."""
    deeds = [(Dealt.burst, 3), (Dealt.burst, 2)] * 3 + [
        (Dealt.take, slow),
        (Dealt.take, 1 - slow),
        (Dealt.take, slow),
    ] * 8
    data = told(*deeds, listeners=listeners)
    assert dealt(data, in_force()) == dealt(data, PYTHON)


def test_standby_deals_as_its_reference() -> None:
    """To idle workers, to those that have taken their last, and to nobody else; and the dealer goes on."""
    deeds = [(Dealt.new_worker, 0), (Dealt.away, 1), (Dealt.connect, 0), (Dealt.take, 1), (Dealt.take, 0)]
    deeds += [(Dealt.away, 3), *((Dealt.take, number) for number in (0, 1, 2)), (Dealt.give_back, 1), (Dealt.away, 2)]
    data = told(*deeds * 3)
    assert dealt(data, in_force()) == dealt(data, PYTHON)


def test_standby_without_a_descriptor_leaves_clients_where_they_are(rig: EngineRig) -> None:
    """The dealer finds them in the backlog, and says what is wrong."""
    rig.engine.listeners.remove(rig.listener_ids.pop())
    worker = rig.worker()
    rig.reach(0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.dup(0)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        assert rig.engine.offers.standby.deal() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    rig.turn()
    assert worker.has_offer()


def test_standby_keeps_a_connection_that_it_could_not_hand_over(rig: EngineRig) -> None:
    """Its worker has shut its end, and the dealer has not heard of it: it waits for another."""
    rig.engine.listeners.remove(rig.listener_ids.pop())
    first = rig.worker()
    first.sock.shutdown(socket.SHUT_RD)
    for _ in range(2):
        rig.reach(0)
    assert rig.engine.offers.standby.deal() == 1
    assert rig.waiting() == 1
    second = rig.worker()
    assert second.has_offer()


def test_all_follow_who_waited_for_one() -> None:
    """Two have got ahead of a third: both go on when that has taken its own."""
    deeds = [(Dealt.new_worker, 0), (Dealt.connect, 0), (Dealt.take, 0), (Dealt.burst, 3), (Dealt.new_worker, 0)]
    deeds += [*((Dealt.take, number) for number in (1, 3, 0, 2)), (Dealt.burst, 3)]
    data = told(*deeds)
    assert dealt(data, in_force()) == dealt(data, PYTHON)


@pytest.mark.parametrize("listeners", [1, 2])
def test_clients_that_are_held_back_are_dealt_in_their_turn(listeners: int) -> None:
    deeds = [(Dealt.burst, 3), *[(Dealt.take, number) for number in (0, 1, 1)], (Dealt.burst, 3), (Dealt.tick, 5)]
    data = told(*deeds * 2, *[(Dealt.take, number) for number in (0, 1)] * 8, listeners=listeners, holds_back=True)
    seen = dealt(data, in_force())
    assert "(True, True, True)" in str(seen), "nobody was held back"
    assert seen == dealt(data, PYTHON)


@pytest.mark.parametrize("listeners", [1, 2])
def test_named_workers_get_what_is_theirs(listeners: int) -> None:
    """More than may wait for one of them, among connections for anybody, and taken in another order."""
    deeds = [(Dealt.look, 0), (Dealt.burst_for, 1), (Dealt.burst, 1), (Dealt.burst_for, 2)]
    deeds += [(Dealt.take, number) for number in (0, 1, 1, 0, 0, 1)] * 4
    data = told(*deeds, listeners=listeners)
    seen = dealt(data, in_force())
    assert any(queues for _, _, _, *rest in seen for queues in rest[0]), "nobody waited for a worker"
    assert seen == dealt(data, PYTHON)


@pytest.mark.parametrize(
    "deed",
    [
        Dealt.fill,
        Dealt.hand_on,
        Dealt.look,
        Dealt.change_policy,
        Dealt.spend,
        Dealt.client_leaves,
        Dealt.give_back,
        Dealt.leave,
        Dealt.replace,
        Dealt.away,
    ],
)
def test_what_is_not_ordinary_is_left_to_python_in_the_middle(deed: object) -> None:
    """Connections wait and lie then, and go on as they would have."""
    after = [(Dealt.connect, 0), (Dealt.take, 1), (Dealt.take, 0), (Dealt.tick, 7)] * 3
    for number, burst in itertools.product((0, 1), ((Dealt.burst, 4), (Dealt.burst_for, 1))):
        data = told((Dealt.look, 0), burst, (Dealt.take, 0), (deed, number), *after)
        assert dealt(data, in_force()) == dealt(data, PYTHON)


@pytest.fixture
def rig() -> Iterator[EngineRig]:
    made = EngineRig(False, in_force())
    yield made
    made.close()


def _address_of_one_that_waits(rig: EngineRig, sock: socket.socket, client: socket.socket) -> object:
    with sock, client:
        sock.setblocking(False)
        sock.listen()
        listener_id = rig.engine.add(sock, sock.family).listener_id
        worker = rig.worker()
        rig.engine.join(worker.id, listener_id)
        rig.connect()
        client.connect(sock.getsockname())
        rig.wait_readable(sock)
        rig.turn()
        (waiting,) = rig.engine.listeners[listener_id].dispatcher.queue
        rig.engine.listeners.remove(listener_id)
        return waiting.peer


def test_addresses_are_those_of_the_standard_library(rig: EngineRig) -> None:
    """Of IPv6, and of a named, a nameless and an abstract unix socket; IPv4 is everywhere here."""
    six, client = socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET6)
    six.bind(("::1", 0))
    peer = _address_of_one_that_waits(rig, six, client)
    assert isinstance(peer, tuple)
    assert (peer[0], *peer[2:]) == ("::1", 0, 0)


def _link_local() -> tuple[str, int]:
    """Return an address that counts on one link alone, and the number of that link."""
    with open("/proc/net/if_inet6") as lines:
        for address, link, _, scope, *_ in map(str.split, lines):
            if scope == "20":
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)), int(link, 16)
    pytest.skip("no link has an address of its own here")


def test_zone_of_an_address_is_that_of_the_standard_library(rig: EngineRig) -> None:
    """The fourth part says it, and the text has none."""
    host, link = _link_local()
    six, client = socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET6)
    six.bind((host, 0, 0, link))
    client.bind((host, 0, 0, link))
    expected = client.getsockname()
    assert expected[3] == link
    assert _address_of_one_that_waits(rig, six, client) == expected


@pytest.mark.parametrize(
    "name", ["", f"\0nodecluster-client-{os.getpid()}", "client"], ids=["nameless", "abstract", "named"]
)
def test_addresses_of_unix_sockets_are_those_of_the_standard_library(rig: EngineRig, tmp_path: Path, name: str) -> None:
    sock, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    if name:
        client.bind(str(tmp_path / name) if name == "client" else name)
    expected = client.getsockname()
    assert _address_of_one_that_waits(rig, sock, client) == expected


def test_channel_that_takes_nothing_is_pythons_to_report(rig: EngineRig, caplog: pytest.LogCaptureFixture) -> None:
    """The connection goes to another, and one line says so."""
    first, second = rig.worker(), rig.worker()
    near = first.end._near
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first.end._near:
        rig.connect()
    first.end._near = near
    assert second.has_offer()
    assert caplog.text.count(f"Cannot hand connections to worker {first.id} now") == 1


def test_connection_stays_in_the_line_where_it_cannot_be_looked_at(rig: EngineRig) -> None:
    """As where there is no memory for a moment: it is dealt another time, and its descriptor is not lost."""
    rig.engine.listeners.remove(rig.listener_ids.pop())  # several listeners share a worker by rules that are Python's
    worker = rig.worker()
    rig.connect()
    rig.connect()
    line = rig.engine.listeners[rig.listener_ids[0]].dispatcher._line
    number, waiting = line[0]

    class Poor:
        fd, peer, head, target = waiting.fd, waiting.peer, waiting.head, waiting.target

        @property
        def was_offered(self) -> bool:
            raise MemoryError

    line[0] = (number, Poor())  # type: ignore[assignment]
    worker.take()
    with suppress(MemoryError):
        rig.turn()
    assert [type(one) for _, one in line] == [Poor]
    line[0] = (number, waiting)
    rig.engine.listeners[rig.listener_ids[0]].dispatcher._deal_line()
    assert worker.has_offer()


def test_listening_socket_that_is_closed_is_given_up(rig: EngineRig, caplog: pytest.LogCaptureFixture) -> None:
    listener = rig.engine.listeners[rig.listener_ids[0]]
    rig.worker()
    fd = rig.socks[0].detach()
    rig.socks[0] = socket.socket(fileno=fd)  # the engine has a socket that is closed, and a descriptor that is not
    rig.clients.append(socket.create_connection(rig.socks[0].getsockname()))
    rig.wait_readable(rig.socks[0])
    rig.turn()
    assert "no longer accepting there" in caplog.text
    assert not listener.is_open


def _ask_for(rig: EngineRig, worker: Played) -> None:
    rig.reach(0)
    rig.clients[-1].send(f"GET /?EIO=4&sid={'x' * 20}.{worker.id} HTTP/1.1".encode())
    rig.turn()


class QuickLook:
    """One that C does itself."""

    is_quick = True

    def __call__(self, seen: bytes) -> int:
        raise LookupError(seen)


def test_connection_of_a_named_worker_is_dealt_without_python(rig: EngineRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.engine.listeners.remove(rig.listener_ids.pop())  # several listeners share a worker by rules that are Python's
    first, second = rig.worker(), rig.worker()
    rig.engine.listeners.look = QuickLook()
    first.say(PacketKind.LOOK)
    rig.turn()
    _deal_without_python(monkeypatch)
    for _ in range(3):
        _ask_for(rig, second)
    assert not first.has_offer()
    for _ in range(3):
        second.take()
        rig.turn()
    assert [len(worker.has) for worker in (first, second)] == [0, 3]
