"""Read and write a worker's streams: ``worker.process.stdin``, ``stdout``, ``stderr``, ``stdio[n]``.

Made where the settings ``silent`` or ``stdio`` ask for pipes (Node: ``child_process`` documentation).  They live in the
primary's loop and never block it.
"""

from __future__ import annotations

import _socket
import codecs
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ..base.arguments import checked_bytes
from ..base.emitter import Emitter
from ..base.event_names import KnownEvents
from ..base.loop import Loop
from ..errors import ArgumentError, ArgumentTypeError, ChannelClosed
from ..machine.socket_objects import shared_socket

__all__ = ["DuplexPipe", "Pipe", "ReadablePipe", "WritablePipe"]

_SLICE_BYTES: Final = 65536
_HIGH_WATER_BYTES: Final = 16384  # Node 20: writableHighWaterMark
_INSTEAD: Final = {
    "readable": "write 'data'",
    "finish": "write 'close'",
    "error": "a pipe that breaks is closed: write 'close'",
}


class Pipe(Emitter):
    """The primary's end of a stream of a worker.  Event: ``close()``.

    Args:
        fd: its descriptor, the pipe's own from now on.
        loop: the primary's.
    """

    _known = KnownEvents({"close": 0}, {**_INSTEAD, "data": "the worker reads this stream", "end": "write 'close'"})

    def __init__(self, fd: int, loop: Loop) -> None:
        super().__init__()
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = loop
        self.is_open = True

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._fd if self.is_open else -1

    @property
    def destroyed(self) -> bool:
        """Whether it is closed."""
        return not self.is_open

    def close(self) -> None:
        """Close at once; ``close`` follows on a later turn."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._loop.call_soon(self.emit, "close")

    destroy = close

    def abandon(self) -> None:
        """In a forked child: close the inherited copy."""
        if self.is_open:
            os.close(self._fd)

    def worker_ended(self) -> None:
        """Note that nobody is at the other end any more."""
        self.close()


class ReadablePipe(Pipe):
    """The pipe that a worker writes into.  Events: ``data(bytes)``, ``end()``, ``close()``.

    Nothing is read before the first ``data`` listener, so nothing is lost; a worker that writes more than the kernel
    holds waits for it.  What nobody has listened for when the worker has ended is thrown away, as in Node.
    """

    _known = KnownEvents({"data": 1, "end": 0, "close": 0}, _INSTEAD)

    def __init__(self, fd: int, loop: Loop) -> None:
        super().__init__(fd, loop)
        self._flowing = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._full: set[WritablePipe] = set()  # destinations that are to drain first

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        super()._add_event_handler(event, k, v)
        if event in ("data", "end"):
            self._flow()

    def set_encoding(self, encoding: str = "utf-8") -> ReadablePipe:
        """Let ``data`` have text; what is no such text becomes U+FFFD (Node: ``setEncoding``).

        Raises:
            ArgumentError: it is no encoding of text.
        """
        try:
            "".encode(encoding)
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        except (LookupError, TypeError):
            raise ArgumentError(f"expected the name of an encoding, such as 'utf-8', got {encoding!r}") from None
        return self

    def pipe(self, destination: Any) -> Any:  # noqa: ANN401 - whatever can be written to
        """Write what comes to ``destination``: a file (``sys.stdout``), or another pipe, which ends with this one.

        A file is written by the primary, which waits if that one is slow.  While another pipe holds what its worker has
        not read yet, nothing more is read here; once that is closed, nothing is written to it any more.

        Returns:
            ``destination``, as in Node.

        Raises:
            ArgumentTypeError: nothing can be written to it.
        """
        if not hasattr(destination, "write"):
            raise ArgumentTypeError(f"expected a file or a pipe to write to, got {destination!r}")
        if isinstance(destination, WritablePipe):
            self._pipe_into(destination)
        else:
            self.on("data", partial(_write_to_file, getattr(destination, "buffer", None), destination))
        return destination

    def _pipe_into(self, destination: WritablePipe) -> None:
        def write(data: bytes | str) -> None:
            if not destination.write(data):
                self._full.add(destination)
                self.pause()

        def drained() -> None:
            self._full.discard(destination)
            if not self._full:
                self.resume()

        def let_go() -> None:
            self.off("data", write)
            self._full.discard(destination)
            if not self.listener_count("data"):
                self.pause()
            elif not self._full:
                self.resume()

        self.on("data", write)
        self.on("end", partial(destination.end, None))
        destination.on("drain", drained)
        destination.on("close", let_go)
        destination.finishes_for.append(let_go)

    def pause(self) -> ReadablePipe:
        """Read nothing more until :meth:`resume`: the worker waits once the kernel holds no more."""
        if self._flowing and self.is_open:
            self._loop.remove_reader(self._fd)
        self._flowing = False
        return self

    def resume(self) -> ReadablePipe:
        """Read, whether somebody listens for ``data`` or not."""
        self._flow()
        return self

    def worker_ended(self) -> None:
        """Extends :meth:`Pipe.worker_ended`: what it wrote is still read."""
        self._flow()

    def _flow(self) -> None:
        if not self._flowing and self.is_open:
            self._flowing = True
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _SLICE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._tell(data)
        else:
            self.close()
            self._tell(b"", final=True)
            self.emit("end")

    def _tell(self, data: bytes, *, final: bool = False) -> None:
        told = data if self._decoder is None else self._decoder.decode(data, final)
        if told:
            self.emit("data", told)


class WritablePipe(Pipe):
    """The pipe that a worker reads from.  Events: ``drain()``, ``close()``."""

    _known = KnownEvents(
        {"close": 0, "drain": 0}, {**_INSTEAD, "data": "the worker reads this stream", "end": "write 'close'"}
    )

    def __init__(self, fd: int, loop: Loop) -> None:
        super().__init__(fd, loop)
        self._queue: deque[memoryview] = deque()
        self._ending = False
        self.writable_length = 0
        self.writable_need_drain = False
        self.finishes_for: list[Callable[[], None]] = []  # those that are piped into this one

    def write(self, data: bytes | str) -> bool:
        """Write bytes, or text as UTF-8; what the worker does not read yet waits here, in memory.

        Returns:
            Whether to write on.  ``False``: 16 KiB or more wait; ``drain`` says when nothing does (Node:
            ``writable.write()``).

        Raises:
            ArgumentTypeError: ``data`` is neither.
            ChannelClosed: the worker has closed its end, or :meth:`end` was called.
        """
        payload = checked_bytes(data)
        if not self.is_open or self._ending:
            raise ChannelClosed("the pipe is closed: the worker has ended, or end() was called")
        if payload:
            self._queue.append(memoryview(payload))
            self.writable_length += len(payload)
            self._loop.add_writer(self._fd, self._writable)
        may_go_on = self.writable_length < _HIGH_WATER_BYTES
        self.writable_need_drain = self.writable_need_drain or not may_go_on
        return may_go_on

    def end(self, data: bytes | str | None = None) -> None:
        """Close once everything is written, ``data`` last: the worker reads end-of-file."""
        if data is not None:
            self.write(data)
        self._ending = True
        if self.is_open and not self._queue:
            self._finish()

    def _finish(self) -> None:
        self.close()

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._queue[0])
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.writable_length -= sent
        if sent < len(self._queue[0]):
            self._queue[0] = self._queue[0][sent:]
            return
        self._queue.popleft()
        if not self._queue:
            self._loop.remove_writer(self._fd)
            if self._ending:
                self._finish()
            elif self.writable_need_drain:
                self.writable_need_drain = False
                self.emit("drain")


def _write_to_file(buffer: Any, file: Any, data: bytes | str) -> None:  # noqa: ANN401 - files of any kind
    file.flush()
    if isinstance(data, bytes) and buffer is not None:
        buffer.write(data)
    else:
        file.write(data)
    file.flush()


class DuplexPipe(ReadablePipe, WritablePipe):
    """A further stream of a worker, in both directions: ``stdio[3]`` and above.  Its descriptor is a socket's."""

    _known = KnownEvents({"data": 1, "end": 0, "drain": 0, "close": 0}, _INSTEAD)

    def _finish(self) -> None:
        """Replaces :meth:`WritablePipe._finish`: what the worker writes is still read."""
        for let_go in self.finishes_for:
            let_go()
        sock = shared_socket(self._fd)
        try:
            sock.shutdown(_socket.SHUT_WR)
        except OSError:
            self.close()  # the worker is gone
        finally:
            sock.detach()
