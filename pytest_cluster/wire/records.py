"""Define the records that the test and the processes of its cluster exchange on a unix socket.

    frame = length (4 bytes, big endian) · pickle of one record

Each process connects to the socket of the test, sends :class:`Hello` with the token, and receives :class:`Welcome` with
its failpoints.  From then on the test sends :class:`Call` and gets one :class:`Reply` for each; a process sends
:class:`Reached` when a call of the application has come to a step that is held.

The arguments and results of a user's function are pickled on their own, inside the record: bytes that cannot be read
then spoil one call, never the connection.  Both ends trust each other, because they are the same program under test.
Nobody else can connect: the socket lies in a folder of the user's alone, and a process needs the token.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "CLOCK_STEP",
    "CONNECTION_STEP",
    "CONTROL_VARIABLE",
    "DISK_STEP",
    "HEADER",
    "MESSAGE",
    "MESSAGE_STEPS",
    "PAGE_HEADER",
    "TOKEN_VARIABLE",
    "Action",
    "Call",
    "Delay",
    "Disk",
    "Do",
    "Drop",
    "End",
    "Fail",
    "Failpoint",
    "Function",
    "Hello",
    "Hold",
    "Jump",
    "Outcome",
    "Reached",
    "Record",
    "Reorder",
    "Reply",
    "Unpacker",
    "Welcome",
    "pack",
]

TOKEN_VARIABLE = "NODECLUSTER_TEST_TOKEN"  # noqa: S105 - a name
CONTROL_VARIABLE = "NODECLUSTER_TEST_CONTROL"

MESSAGE = "injected by the test"
"""What an error or an answer says that a test has injected without words of its own."""

HEADER = "X-Cluster-Worker"
"""In every response of an application under test: the worker's id."""
PAGE_HEADER = "X-Cluster-Worker-Page"
"""In its place where the server itself has answered, with an error page."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Hello:
    """Introduces a process: ``worker`` is ``None`` for a primary, ``measured`` says that coverage runs in it."""

    token: str
    worker: int | None
    pid: int
    measured: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait at the step until the test lets go."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait at the step: *seconds*, and up to *jitter* more."""

    seconds: float
    jitter: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail the step *times* times: answer a request with *status*, or raise."""

    times: int | None = None
    status: int | None = None
    error: bytes | None = None
    """The pickled exception."""
    message: str = MESSAGE


@dataclass(frozen=True, slots=True)
class End:
    """End the process at the step, with an exit code or by a signal."""

    code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name: where it can be imported from, or the file that defines it."""

    module: str
    name: str
    file: str | None
    pickled: bytes | None = None
    """By value, from ``cloudpickle``; the rest is for messages then."""


@dataclass(frozen=True, slots=True)
class Do:
    """Call a function at the step, the first *times* times; what it raises, the step raises."""

    function: Function
    arguments: bytes
    """The pickle of a tuple."""
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose messages, or connections: the first *times*, or all; of these a *share*, by random numbers of *seed*."""

    times: int | None = None
    share: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reorder:
    """Let messages, or connections, overtake each other: *window* of them go on together, in another order.

    Those that are fewer go on after *seconds* all the same.
    """

    window: int
    seconds: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """Let files in *folder* be slow by *seconds* for each operation, or full."""

    folder: str
    seconds: float = 0.0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Jump:
    """Let the clock go before by *seconds*, or after where they are negative."""

    seconds: float


Action: TypeAlias = Hold | Delay | Fail | End | Do | Drop | Reorder | Disk | Jump

MESSAGE_STEPS = ("receive", "send")
"""Where messages come by in a worker: they have come from the primary, or are to go there."""
CONNECTION_STEP = "connection"
"""Where a connection has come from the primary, and is not served yet."""
DISK_STEP = "disk"
CLOCK_STEP = "clock"


@dataclass(frozen=True, slots=True)
class Failpoint:
    """An action at a named step, in one worker or in all.

    Steps: ``fork`` (the first thing in the process), ``online`` (before it says so), ``boot`` (before the application
    is loaded), ``ready`` (before the worker listens), ``listening`` (it has said so), ``request`` (before the
    application is called), ``receive`` (a message has come), ``send`` (one is to go), ``connection`` (one has
    come, and is not served yet), ``disk`` (a file is used), ``clock``, or a function, ``module:name``.
    """

    id: int
    step: str
    action: Action
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """The test's answer to :class:`Hello`."""

    failpoints: tuple[Failpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the test: an operation, and its pickled arguments."""

    id: int
    operation: str
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an operation: the pickle of its value, or its error."""

    value: bytes | None = None
    error: bytes | None = None
    """The pickled exception, if it can be."""
    summary: str = ""
    """The last line of its traceback."""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a :class:`Call`."""

    id: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Reached:
    """A call has come to a step that is held; *arrival* is this process' number for it."""

    failpoint: int
    arrival: int
    where: str


Record: TypeAlias = Hello | Welcome | Call | Reply | Reached


def pack(record: Record) -> bytes:
    """Return the frame of a record."""
    body = pickle.dumps(record)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Bytes in, records out."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yield the records that are complete now."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield pickle.loads(body)  # noqa: S301 - see the module
