"""Parse the entries of the journal, one for each event, message and fault, and select among them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import OptionError
from ..values import Message

__all__ = [
    "LIFECYCLE",
    "AnyWorker",
    "JournalEntry",
    "ListeningAddress",
    "Wanted",
    "last_fault",
    "lasting",
    "parse_entry",
    "required_worker_id",
    "worker_id",
]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

LIFECYCLE = ("fork", "online", "listening", "disconnect", "exit")
EVENTS = (*LIFECYCLE, "message", "fault")
UNIX = -1  # as Node says it


@dataclass(frozen=True, slots=True)
class ListeningAddress:
    """Where a worker listens, with the attributes of Node's ``listening`` event."""

    address: str | None
    port: int
    address_type: int | str
    fd: int | None = None

    @property
    def socket_file(self) -> str | None:
        """The path of a unix socket; ``None`` for an abstract one, which is no file and goes with its last process."""
        is_file = self.address_type == UNIX and self.address and not self.address.startswith("\0")
        return self.address if is_file else None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step in the life of one worker, one message, or one fault that the test has injected."""

    seq: int
    """Position in this journal, from 1."""
    time: float
    """The primary's monotonic clock, which all processes of a machine share."""
    event: str
    """``fork``, ``online``, ``listening``, ``disconnect``, ``exit``; ``message``; ``fault``."""
    worker: int
    """The id of the worker; 0 for a fault of the primary."""
    pid: int | None
    state: str
    """The worker's, after the event; empty for a fault."""
    address: ListeningAddress | None = None
    exited_after_disconnect: bool | None = None
    code: int | None = None
    signal: str | None = None
    sent: bool | None = None
    """Of a message: the primary has sent it (true), or received it."""
    message: Message = None
    """The message itself, where it is JSON of up to 16 KiB; otherwise the beginning of its text."""
    handle: bool = False
    """Whether a descriptor came with the message."""
    detail: str = ""
    """Of a fault: what was injected."""
    ends: bool = False
    """Of a fault: whether it will end the worker."""
    harmless: bool = False
    """Of a fault: that it cannot explain the end of a process."""
    everywhere: bool = False
    """Of a fault: that it is one of every worker, *worker* is 0 then."""
    lasts: bool = False
    """Of a fault: that it lasts, and may be why no worker begins a request."""
    end_of: int | None = None
    """Of the end of a fault that lasted: the fault's number."""
    primary: int | None = None
    """The pid of the primary that tells of it."""

    @property
    def injected(self) -> bool:
        """Whether the test did this, rather than the cluster."""
        return self.event == "fault"

    def concerns(self, worker: int) -> bool:
        """Whether this is of *worker* (0: the primary)."""
        return bool(worker) if self.everywhere else self.worker == worker

    def may_end(self, worker: int) -> bool:
        """Whether this is a fault that can explain the end of *worker* (0: the primary)."""
        return self.injected and self.concerns(worker) and not self.harmless

    def __str__(self) -> str:
        head = f"#{self.seq} {self.time:.3f} {self.event}"
        if self.event == "fault":
            return f"{head} INJECTED {self.detail}"
        details = f"{head} worker={self.worker} pid={self.pid} state={self.state}"
        if self.event == "message":
            return f"{head} {'to' if self.sent else 'from'} worker={self.worker} {self.message!r:.200}"
        if self.address is not None:
            details += f" address={self.address.address}:{self.address.port}"
        if self.event == "exit":
            details += f" code={self.code} signal={self.signal}"
        if self.event in ("disconnect", "exit"):
            details += f" exited_after_disconnect={self.exited_after_disconnect}"
        return details


def parse_entry(line: bytes, seq: int) -> tuple[JournalEntry, int]:
    """Return the entry in *line*, and how many messages were left out before it; ``ValueError`` when it is not one."""
    try:
        raw: Mapping[str, Any] = json.loads(line)
        address = raw.get("address")
        entry = JournalEntry(
            seq=seq,
            time=float(raw["time"]),
            event=raw["event"],
            worker=int(raw["worker"]),
            pid=raw.get("pid"),
            state=raw["state"],
            address=None if address is None else ListeningAddress(**address),
            exited_after_disconnect=raw.get("exited_after_disconnect"),
            code=raw.get("code"),
            signal=raw.get("signal"),
            sent=raw.get("sent"),
            message=raw.get("message", raw.get("text")),
            handle=raw.get("handle", False),
            primary=raw.get("primary"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{error!r} in {line[:200]!r}") from error
    if entry.event not in EVENTS:
        raise ValueError(f"unknown event in {line[:200]!r}")
    return entry, int(raw.get("lost", 0))


class AnyWorker(Protocol):
    """Anything with the id of a worker."""

    @property
    def id(self) -> int:
        """From 1, never used again."""


def worker_id(which: int | AnyWorker | None) -> int | None:
    """Return the id that ``worker=`` means, which takes a worker or an id.

    :raises OptionError: it is neither.
    """
    if which is None or isinstance(which, int):
        return which
    if isinstance(getattr(which, "id", None), int):
        return which.id
    raise OptionError(f"expected a worker or its id, got {which!r:.100}")


def required_worker_id(which: int | AnyWorker) -> int:
    """Return the id of a worker that has to be named.

    :raises OptionError: it is neither a worker nor an id.
    """
    number = worker_id(which)
    if number is None or isinstance(number, bool):
        raise OptionError(f"expected a worker or its id, got {which!r:.100}")
    return number


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entries that somebody waits for, by event, worker and predicate."""

    event: str | None = None
    worker: int | None = None
    predicate: Callable[[JournalEntry], bool] | None = None
    what: str = ""
    """What the predicate looks for, in words."""

    def __post_init__(self) -> None:
        if self.event is not None and self.event not in EVENTS:
            raise ValueError(f"unknown event {self.event!r}: the events are {', '.join(EVENTS)}")
        if self.predicate is not None and not callable(self.predicate):
            raise ValueError(f"expected predicate= to be a function of an entry, got {self.predicate!r:.100}")

    def fits(self, entry: JournalEntry) -> bool:
        """Whether this is one of them."""
        fits = self.event in (None, entry.event) and self.worker in (None, entry.worker)
        return fits and (self.predicate is None or self.predicate(entry))

    def __str__(self) -> str:
        text = f"{'' if self.what else 'event '}{self.event or '(any)'}"
        text += "" if self.worker is None else f" of worker {self.worker}"
        return text + ("" if self.predicate is None else f" {self.what or 'that fits the predicate'}")


def last_fault(entries: Sequence[JournalEntry], worker: int) -> JournalEntry | None:
    """Return the newest fault that explains the end of *worker* (0: the primary): the test's, and it still lasted."""
    return next((one for one in reversed(lasting(entries)) if one.may_end(worker)), None)


def lasting(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Leave out the faults that are over."""
    over = {entry.end_of for entry in entries}
    return [entry for entry in entries if entry.seq not in over]
