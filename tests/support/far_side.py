"""Play clients and workers from a process of their own: run as a script, they go on while a test keeps its interpreter.

Arguments: the port, then the descriptors of the workers' ends, and as many of the memories in which they count.  Each
line of the input is a list of steps, in JSON: ``["serve", N]``: N clients connect, one after another, and whoever is
offered one takes it; ``["connect", N]``: they only connect, and lie; ``["port", P]``: the next ones connect there;
``["lie", N]``: so many workers have an offer;
``["take", W]``: worker W does; ``["end", W]``: it counts that one of its connections has ended; ``["leave", W]``: it
says that it takes no more; ``["refuse", W]``: it gives back what it took; ``["shut", W]``: its end can receive no more;
``["accepted", N]``: so many clients were accepted.  The output has a line for each: what was taken, as pairs of the
worker and the client's number.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from nodecluster_compat.connections.packets import PacketKind, decode_packet, encode_packet

_PATIENCE: Final = 20.0


class FarSide:
    """Clients, and the workers' ends."""

    def __init__(self, port: int, workers: list[int], memories: list[int]) -> None:
        self._port = port
        self._workers = {number: socket.socket(fileno=fd) for number, fd in enumerate(workers, 1)}
        self._memories = dict(zip(self._workers, memories, strict=True))
        self._can_take = set(self._workers)
        self._clients: list[socket.socket] = []
        self._numbers: dict[int, int] = {}
        self._has: list[tuple[int, socket.socket]] = []
        self.taken: list[tuple[int, int]] = []

    def connect(self, count: int) -> None:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", self._port))
            self._clients.append(client)
            self._numbers[client.getsockname()[1]] = len(self._clients)

    def port(self, number: int) -> None:
        self._port = number

    def serve(self, count: int) -> None:
        for _ in range(count):
            self.connect(1)
            self.lie(1)
            self.take(self._lying()[0])

    def take(self, worker: int) -> None:
        sock = self._workers[worker]
        sock.settimeout(_PATIENCE)
        data, fds, _, _ = socket.recv_fds(sock, 512, 1)
        if not fds:
            return  # a probe
        connection = socket.socket(fileno=fds[0])
        self._has.append((decode_packet(data).listener_id, connection))
        self.taken.append((worker, self._numbers[connection.getpeername()[1]]))

    def lie(self, count: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while len(self._lying()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError("nobody was offered a connection")

    def _lying(self) -> list[int]:
        socks = {self._workers[number]: number for number in self._can_take}
        return [socks[sock] for sock in select.select(socks, [], [], 0.1)[0]]

    def end(self, worker: int) -> None:
        count = int.from_bytes(os.pread(self._memories[worker], 8, 0), sys.byteorder) + 1
        os.pwrite(self._memories[worker], count.to_bytes(8, sys.byteorder), 0)

    def leave(self, worker: int) -> None:
        self._workers[worker].send(encode_packet(PacketKind.LEAVE))
        self.shut(worker)

    def shut(self, worker: int) -> None:
        self._workers[worker].shutdown(socket.SHUT_RD)
        self._can_take.discard(worker)

    def refuse(self, worker: int) -> None:
        listener_id, connection = self._has.pop()
        with connection:
            socket.send_fds(
                self._workers[worker], [encode_packet(PacketKind.REFUSED, listener_id)], [connection.fileno()]
            )

    def accepted(self, count: int) -> None:
        while self._accepted() < count:
            os.sched_yield()

    def _accepted(self) -> int:
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file]
        return sum(int(row[2].split(":")[1], 16) in self._numbers and row[9] != "0" for row in rows[1:])


def main() -> None:
    port, *fds = map(int, sys.argv[1:])
    side = FarSide(port, fds[: len(fds) // 2], fds[len(fds) // 2 :])
    steps: dict[str, Callable[[int], None]] = {
        name: getattr(side, name)
        for name in ("connect", "serve", "take", "lie", "leave", "end", "shut", "refuse", "accepted", "port")
    }
    _say("ready")
    for line in sys.stdin:
        side.taken.clear()
        for name, number in json.loads(line):
            steps[name](number)
        _say(json.dumps(side.taken))


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once


if __name__ == "__main__":
    main()
