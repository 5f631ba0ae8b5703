"""The test's end of the connections to the processes of a cluster.

A thread accepts on a unix socket in the cluster's folder (0700) and reads what the processes say; the test's own
threads send calls and wait for the replies. A process is known by its pid, because two primaries, as in an upgrade,
number their workers alike. Nothing here waits for a process that has gone: the end of its connection ends its calls.

A process is welcomed before anybody can call it, and no failpoint falls between its welcome and the first call: both
happen under one lock, so one that is added meanwhile is told one way, or both ways, never neither.
"""

from __future__ import annotations

import hmac
import pickle
import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import ProcessGone, WaitTimeout
from .waiting import Deadline
from .wire import Call, Failpoint, Hello, Outcome, Reached, Reply, Unpacker, Welcome, pack

__all__ = ["Control", "Peer"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

_READ_BYTES = 262144


@dataclass(slots=True, eq=False)
class Peer:
    """One process of the cluster, connected."""

    sock: socket.socket
    unpacker: Unpacker = field(default_factory=Unpacker)
    hello: Hello | None = None
    replies: dict[int, Outcome] = field(default_factory=dict)
    gone: bool = False
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, record: Any) -> None:
        """Send a record whole, from any thread.

        :raises OSError: the process has hung up.
        """
        with self.sending:
            self.sock.sendall(pack(record))


class Control:
    """All processes of one cluster.

    Args:
        path: of the socket, which is made here.
        on_reached: called in the thread here, with the process' hello and what it has reached.
    """

    def __init__(self, path: str, on_reached: Callable[[Hello, Reached], None]) -> None:
        self.path = path
        self.token = secrets.token_hex(32)
        self.hellos: list[Hello] = []
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

    def call(self, pid: int, operation: str, arguments: Any = None, *, timeout: float) -> Outcome:
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
                raise ProcessGone(f"the process {pid} has ended, or is not under the test's control")
            self._calls += 1
            number = self._calls
        try:
            peer.send(Call(number, operation, payload))
        except OSError:
            raise ProcessGone(f"the process {pid} has ended") from None
        with self._changed:
            if not self._changed.wait_for(lambda: number in peer.replies or peer.gone, deadline.remaining):
                raise WaitTimeout(f"the process {pid} did not answer within {timeout:g} s")
            outcome = peer.replies.pop(number, None)
        if outcome is None:
            raise ProcessGone(f"the process {pid} ended before it answered")
        return outcome

    def add_failpoint(self, failpoint: Failpoint) -> None:
        """Tell it to the workers that are welcomed from now on."""
        with self._changed:
            self._failpoints[failpoint.id] = failpoint

    def remove_failpoint(self, number: int) -> None:
        """Tell it to nobody any more."""
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
        running = True
        while running:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wakee:
                    running = False
                else:
                    self._read(key.data)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Peer):
                self._drop(key.data)
        for one in (self._listener, self._wakee):
            one.close()
        self._selector.close()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self._selector.register(sock, selectors.EVENT_READ, Peer(sock))

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(_READ_BYTES)
            if not data or not all(self._received(peer, record) for record in peer.unpacker.feed(data)):
                self._drop(peer)
        except OSError:
            self._drop(peer)

    def _received(self, peer: Peer, record: Any) -> bool:
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
            peer.send(Welcome(tuple(mine)))
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
