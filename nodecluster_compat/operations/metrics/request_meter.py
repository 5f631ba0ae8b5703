"""Count requests in a worker, and say which are in flight, at the price of a few stores into its memory.

The seam of the request path, whatever serves a request (a loop of ours, gunicorn's ``handle_request``, a thread, a
task).  For a connection, and for each request on it::

    slot = meter.open(client, ident)
    started = meter.begin(slot, line)
    ...
    meter.end(slot, started, method, status, sent)      # however it ended, once
    meter.close(slot)

Every number is stored as soon as it is known, so a worker that is blocked or killed has left all of them.  A request
is counted before it is no longer in flight: one that a kill falls upon is in flight, counted, or both, never neither.

Where threads serve, each number is changed by a few steps between which CPython does not switch; only a new row is
taken under a lock.
"""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Hashable
from struct import Struct
from time import monotonic
from typing import Any, Final

from ...base.native import Choice, Native, in_force
from ...base.one_line import one_line
from .layout import (
    CLIENT_BYTES,
    LINE_BYTES,
    METHOD_NUMBERS,
    OTHER,
    OVERFLOW_ROWS,
    ROW_NUMBERS,
    ROWS,
    ROWS_AT,
    SINCE_AT,
    SLOT_BYTES,
    SLOTS,
    SLOTS_AT,
    VALUES_AT,
    Header,
    Row,
    key_of_row,
)
from .request_stores import Begin, Clock, End, Rows, stores

__all__ = ["NO_SLOT", "RequestMeter", "request_of"]

NO_SLOT: Final = -1
"""Of a connection for which there is no slot left."""

_ROWS_FROM: Final = ROWS_AT // 8
_SINCE_FROM: Final = SINCE_AT // 8
_MOST_STATUSES: Final = 256  # that are remembered for a method: an application may make up any number
_WHO: Final = Struct(f"=Q{CLIENT_BYTES}s")
_LINE: Final = Struct(f"={LINE_BYTES}s")
_SECONDS: Final = Struct("=d")
_SLOT: Final = Struct(f"=Q{CLIENT_BYTES}s{LINE_BYTES}s")
_LINE_IN_SLOT: Final = SLOT_BYTES - LINE_BYTES
_MOST_IDENT: Final = 2**64 - 1


class RequestMeter:
    """Counts the requests of one worker.

    Args:
        view: where to: a worker's memory.  Where there is none it counts for itself, and nobody reads it.
        clock: seconds, the same for worker and primary.
        choice: C or Python; what is in force unless it is said.

    Attributes:
        begin: ``begin(slot, line) -> started``: a request was read; ``line`` is its first line, or whatever begins with
            that, as ``b"GET /path HTTP/1.1"``.
        open: ``open(client, ident=0) -> slot``: count a connection; ``client`` is its address, ``ident`` says which
            greenlet, thread or task serves it, as stacks name it.
        close: ``close(slot)``: a connection has ended.
        end: ``end(slot, started, method, status, sent)``: it has ended.  ``method`` is as the client spelt it,
            ``status`` a number, or text that begins with one, ``None`` when no answer was begun; ``sent`` are bytes of
            the body of the answer.
    """

    __slots__ = (
        "_choice",
        "_clock",
        "_free",
        "_lock",
        "_numbers",
        "_overflow",
        "_row_at",
        "_rows",
        "_used",
        "_view",
        "begin",
        "close",
        "end",
        "open",
    )

    begin: Begin
    end: End
    open: Callable[..., int]
    close: Callable[[int], None]

    def __init__(self, view: memoryview | None = None, clock: Clock = monotonic, choice: Choice | None = None) -> None:
        self._clock = clock
        self._choice = in_force() if choice is None else choice
        self._lock: Any = RLock()
        self._rows: Rows = {}
        self._free = list(range(SLOTS - 1, -1, -1))
        self._write_to(memoryview(bytearray(VALUES_AT)) if view is None else view)
        self._used = OVERFLOW_ROWS
        self._numbers[Header.ROWS] = self._used

    def _write_to(self, view: memoryview) -> None:
        self._view = view
        self._numbers = view.cast("Q")
        self.begin, self.end, self._row_at = stores(self._choice, view, self._clock, self._rows, self._row)
        self._overflow = [self._row_at(number) for number in range(OVERFLOW_ROWS)]
        native = self._choice.module
        self.open, self.close = (self._open, self._close) if native is None else self._slots_in_c(native)

    def _slots_in_c(self, native: Native) -> tuple[Callable[..., int], Callable[[int], None]]:
        slots = native.RequestSlots(
            self._view,
            self._free,
            opened_at=8 * Header.OPENED,
            closed_at=8 * Header.CLOSED,
            used_at=8 * Header.SLOTS,
            slots_at=SLOTS_AT,
            slot_bytes=SLOT_BYTES,
            slot_count=SLOTS,
            client_bytes=CLIENT_BYTES,
        )
        return slots.open, slots.close

    def abandon(self) -> None:
        """In a process that the worker forked: what it counts is not the worker's."""
        self._lock = RLock()
        self._rows = {}
        self._write_to(memoryview(bytearray(self._view[:VALUES_AT])))

    # --- connections ---------------------------------------------------------------------------

    def _open(self, client: str, ident: int = 0) -> int:
        self.count_opened()
        return self.slot(client, ident)

    def slot(self, client: str, ident: int = 0) -> int:
        """Return a slot for a request of a connection that has several at once; :meth:`give` takes it back."""
        if not self._free:
            return NO_SLOT
        slot = self._free.pop()
        if slot >= self._numbers[Header.SLOTS]:
            self._numbers[Header.SLOTS] = slot + 1
        who = client.encode("ascii", "replace")
        _WHO.pack_into(self._view, SLOTS_AT + slot * SLOT_BYTES, ident & _MOST_IDENT, who)
        return slot

    def _close(self, slot: int) -> None:
        self.count_closed()
        self.give(slot)

    def count_opened(self) -> None:
        """Count a connection whose requests have slots of their own."""
        self._numbers[Header.OPENED] += 1

    def count_closed(self) -> None:
        """Such a connection has ended."""
        self._numbers[Header.CLOSED] += 1

    def count_failed(self) -> None:
        """A connection was taken that nobody serves."""
        self.count_opened()
        self.count_closed()

    def count_late(self) -> None:
        """Count a request that takes longer than it may."""
        self._numbers[Header.LATE] += 1

    def give(self, slot: int) -> None:
        """Give back a slot that nobody uses any more."""
        if slot >= 0:
            self._free.append(slot)

    def name(self, slot: int, ident: int) -> None:
        """Another thread or task serves this connection now."""
        if slot >= 0:
            self._numbers[(SLOTS_AT + slot * SLOT_BYTES) // 8] = ident & _MOST_IDENT

    # --- what is in flight ---------------------------------------------------------------------

    def in_flight(self) -> list[tuple[int, float]]:
        """Return the slots that have a request in flight, and since when, by the clock."""
        since = self._view.cast("d")[_SINCE_FROM : _SINCE_FROM + self._numbers[Header.SLOTS]]
        return [(slot, at) for slot, at in enumerate(since) if at]

    def since(self, slot: int) -> float:
        """Return since when a slot has a request in flight, by the clock; 0 if it has none."""
        since: float = _SECONDS.unpack_from(self._view, SINCE_AT + 8 * slot)[0]
        return since

    def told(self, slot: int) -> tuple[str, str]:
        """Return the request that is or was in flight on a slot, ``"GET /path"``, and its client."""
        at = SLOTS_AT + slot * SLOT_BYTES
        _, client = _WHO.unpack_from(self._view, at)
        (line,) = _LINE.unpack_from(self._view, at + _LINE_IN_SLOT)
        return request_of(line), client.rstrip(b"\0").decode("ascii", "replace")

    def in_flight_by_ident(self) -> dict[int, str]:
        """Return the first line of each request that is in flight and has a slot, by what serves it."""
        found = {}
        for slot in range(self._numbers[Header.SLOTS]):
            if self._numbers[_SINCE_FROM + slot]:
                ident, _, line = _SLOT.unpack_from(self._view, SLOTS_AT + slot * SLOT_BYTES)
                found[ident] = line.rstrip(b"\0").decode("latin-1")
        return found

    def _row(self, method: str, status: Hashable) -> Any:  # noqa: ANN401 - what the stores make of its number
        """Return the row of a method and a status; take one if there is none yet."""
        known = method if method in METHOD_NUMBERS else "_OTHER"
        rows = self._rows.setdefault(known, {})
        code = _code(status)
        with self._lock:
            row = rows.get(code)
            if row is None:
                row = rows[code] = self._new_row(METHOD_NUMBERS.get(known, OTHER), code)
        if len(rows) < _MOST_STATUSES and isinstance(status, str | int):
            rows[status] = row
        return row

    def _new_row(self, method: int, code: int) -> Any:  # noqa: ANN401 - as above
        if self._used >= ROWS:
            return self._overflow[max(code // 100 - 1, 0)]
        number = self._used
        self._numbers[_ROWS_FROM + number * ROW_NUMBERS + Row.KEY] = key_of_row(method, code)
        self._used += 1
        self._numbers[Header.ROWS] = self._used
        return self._row_at(number)


def request_of(line: bytes) -> str:
    """Return what is shown of the first line of a request: ``"GET /path"``, without what follows a question mark."""
    method, _, rest = line.partition(b"\r")[0].rstrip(b"\0").partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return one_line(f"{method.decode('latin-1')} {path.decode('latin-1')}")


def _code(status: object) -> int:
    """Return the number of a status; 0 when it is none."""
    text = status if isinstance(status, int) else str(status)[:3]
    try:
        code = int(text)
    except ValueError:
        return 0
    return code if 100 <= code <= 599 else 0
