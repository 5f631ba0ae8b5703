"""Connect the test to the processes of its cluster, and call them.

A thread accepts on a unix socket in the cluster's folder (mode 0700), and does all reading and writing.  The test's own
threads leave their calls with it and wait for the replies, each no longer than its time-out, so that a process that is
stuck blocks none of them.  A process is known by its pid, because two primaries, as in an upgrade, number their workers
alike.  The calls of a process end with its connection.

One lock covers a process' welcome and the list of failpoints, so a failpoint that is added meanwhile is told in the
welcome, or by a call, or both, and never lost.
"""

from __future__ import annotations

import contextlib
import hmac
import pickle
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import ProcessGone, WaitTimeout
from ..waiting import Deadline
from .records import Call, Failpoint, Hello, Outcome, Reached, Record, Reply, Unpacker, Welcome, pack

__all__ = ["Control", "Peer"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

_READ_BYTES = 262144
_PAUSE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class Peer:
    """One process of the cluster, connected."""

    sock: socket.socket
    unpacker: Unpacker = field(default_factory=Unpacker)
    hello: Hello | None = None
    replies: dict[int, Outcome] = field(default_factory=dict)
    outgoing: bytearray = field(default_factory=bytearray)
    gone: bool = False


class Control:
    """The connections to all processes of one cluster.

    :param path: of the socket, which is made here.
    :param on_reached: called in the thread here, with the process' hello and what it has reached.
    """

    def __init__(self, path: str, on_reached: Callable[[Hello, Reached], None]) -> None:
        self.path = path
        self.token: str = secrets.token_hex(32)
        self.hellos: list[Hello] = []
        self.problems: list[str] = []
        self._on_reached = on_reached
        self._failpoints: dict[int, Failpoint] = {}
        self._peers: dict[int, Peer] = {}
        self._changed = threading.Condition()
        self._calls = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(512)
        self._waker, self._wakee = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakee, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="cluster-control", daemon=True)
        self._thread.start()

    @property
    def calls(self) -> int:
        """How often a process was asked for something."""
        return self._calls

    def call(self, pid: int, operation: str, arguments: object = None, *, timeout: float) -> Outcome:
        """Ask the process *pid* for *operation* and return how it ended there.

        :raises ProcessGone: it has no connection (any more).
        :raises WaitTimeout: no answer within *timeout* seconds.
        """
        payload = pickle.dumps(arguments)
        deadline = Deadline(timeout)
        with self._changed:
            self._changed.wait_for(lambda: pid in self._peers, min(deadline.remaining, 1.0))
            peer = self._peers.get(pid)
            if peer is None:
                why = "".join(f"; {problem}" for problem in self.problems[-1:])
                raise ProcessGone(f"the process {pid} has ended, or is not under the test's control{why}")
            self._calls += 1
            number = self._calls
            peer.outgoing += pack(Call(number, operation, payload))
            with contextlib.suppress(OSError):  # closed meanwhile: the peers are gone in a moment
                self._waker.send(b"w")
            if not self._changed.wait_for(lambda: number in peer.replies or peer.gone, deadline.remaining):
                raise WaitTimeout(f"the process {pid} did not answer within {timeout:g} s")
            outcome = peer.replies.pop(number, None)
        if outcome is None:
            raise ProcessGone(f"the process {pid} ended before it answered")
        return outcome

    def add_failpoint(self, failpoint: Failpoint) -> None:
        """Tell a failpoint to the workers that are welcomed from now on."""
        with self._changed:
            self._failpoints[failpoint.id] = failpoint

    def remove_failpoint(self, number: int) -> None:
        """Tell a failpoint to nobody any more."""
        with self._changed:
            self._failpoints.pop(number, None)

    def pids(self) -> list[int]:
        """Return the processes that are connected."""
        with self._changed:
            return list(self._peers)

    def close(self) -> None:
        """Hang up on everybody; a primary that is still there ends its server."""
        self._waker.close()
        self._thread.join()

    def _run(self) -> None:
        while self._serve_once():
            pass
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Peer):
                self._drop(key.data)
        for one in (self._listener, self._wakee):
            one.close()
        self._selector.close()

    def _serve_once(self) -> bool:
        """Wait for what comes next and do it; return whether to go on."""
        for key, events in self._selector.select():
            if key.fileobj is self._wakee:
                if not self._wakee.recv(_READ_BYTES):
                    return False
                self._write_all()
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._serve(key.data, events)
        return True

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # no descriptor left: the process waits for one, and gives up by itself
            self._note(f"a process could not connect to the test: {error}")
            time.sleep(_PAUSE_SECONDS)
            return
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, Peer(sock))

    def _serve(self, peer: Peer, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and not self._read(peer):
                self._drop(peer)
                return
            if peer.outgoing:
                self._write(peer)
        except OSError:
            self._drop(peer)
        except Exception as error:  # noqa: BLE001 - one that is not understood must not end the thread for all
            self._note(f"the connection of process {peer.hello and peer.hello.pid} was dropped: {error!r}")
            self._drop(peer)

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _read(self, peer: Peer) -> bool:
        data = peer.sock.recv(_READ_BYTES)
        return bool(data) and all(self._received(peer, record) for record in peer.unpacker.feed(data))

    def _write_all(self) -> None:
        with self._changed:
            waiting = [peer for peer in self._peers.values() if peer.outgoing]
        for peer in waiting:
            self._serve(peer, 0)

    def _write(self, peer: Peer) -> None:
        with self._changed:
            try:
                del peer.outgoing[: peer.sock.send(peer.outgoing)]
            except BlockingIOError:
                pass
            except OSError:  # it has hung up; what it said before that is still to be read
                peer.outgoing.clear()
            more = selectors.EVENT_WRITE if peer.outgoing else 0
        self._selector.modify(peer.sock, selectors.EVENT_READ | more, peer)

    def _received(self, peer: Peer, record: Record) -> bool:
        """Take a record; return whether the connection is one to keep."""
        if isinstance(record, Hello) and hmac.compare_digest(record.token, self.token):
            self._welcome(peer, record)
        elif peer.hello is None:
            return False
        elif isinstance(record, Reply):
            with self._changed:
                peer.replies[record.id] = record.outcome
                self._changed.notify_all()
        elif isinstance(record, Reached):
            self._on_reached(peer.hello, record)
        return True

    def _welcome(self, peer: Peer, hello: Hello) -> None:
        with self._changed:
            every = self._failpoints.values()
            mine = [one for one in every if hello.worker is not None and one.worker in (None, hello.worker)]
            peer.outgoing += pack(Welcome(tuple(mine)))
            peer.hello = hello
            self._peers[hello.pid] = peer
            self.hellos.append(hello)
            self._changed.notify_all()

    def _drop(self, peer: Peer) -> None:
        self._selector.unregister(peer.sock)
        peer.sock.close()
        with self._changed:
            peer.gone = True
            if peer.hello is not None and self._peers.get(peer.hello.pid) is peer:
                del self._peers[peer.hello.pid]
            self._changed.notify_all()
