"""Lay out the memory in which a worker counts.  Pure.

    header · rows (requests by method and status) · since (one for each slot) · slots (requests in flight)
    · values · exemplars · keys (the application's own metrics)

Numbers are 8 bytes, in this machine's order, and aligned.  The worker writes; whatever the primary reads here may be
nonsense, and is checked (``counts``, ``application_values``).

A *row* counts the requests of one method and one status.  There are :data:`ROWS` of them, taken as they are needed.
The first five are for what does not fit any more, by class of status.

A *slot* is a connection that is open, with the request that is in flight on it: ``since`` is 0 while there is none.
Connections beyond :data:`SLOTS` have no slot; their requests are counted in the header, ``unlisted``.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BOUNDS",
    "CLIENT_BYTES",
    "EXEMPLARS",
    "EXEMPLARS_AT",
    "EXEMPLAR_BYTES",
    "HEADER_BYTES",
    "HEADER_NUMBERS",
    "KEYS_AT",
    "KEYS_BYTES",
    "LINE_BYTES",
    "METHODS",
    "METHOD_NUMBERS",
    "OTHER",
    "OVERFLOW_ROWS",
    "ROWS",
    "ROWS_AT",
    "ROW_BYTES",
    "ROW_NUMBERS",
    "SINCE_AT",
    "SLOTS",
    "SLOTS_AT",
    "SLOT_BYTES",
    "VALUES",
    "VALUES_AT",
    "VALUE_BYTES",
    "WHOLE_BYTES",
    "Header",
    "Row",
    "key_of_row",
    "row_of_key",
]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the histogram of durations, in seconds: OpenTelemetry's for HTTP.  A last bucket has the rest."""

METHODS: Final = ("_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
"""Those that OpenTelemetry knows; clients can make up any number of others."""

METHOD_NUMBERS: Final = {name: number for number, name in enumerate(METHODS)}
OTHER: Final = 0


class Header:
    """The places of the numbers in the header."""

    ROWS: Final = 0  # so many are used
    SLOTS: Final = 1  # so many were ever used at the same time
    OPENED: Final = 2  # connections
    CLOSED: Final = 3
    UNLISTED: Final = 4  # requests that are in flight without a slot
    VALUES: Final = 5  # so many values of the application
    KEYS: Final = 6  # bytes
    EXEMPLARS: Final = 7
    DROPPED: Final = 8  # values of the application that do not fit
    LATE: Final = 9  # requests that took too long


class Row:
    """The places of the numbers in a row; the last bucket, without a bound, ends it."""

    KEY: Final = 0
    SECONDS: Final = 1  # a float
    BYTES: Final = 2
    BUCKETS: Final = 3


HEADER_BYTES: Final = 512
HEADER_NUMBERS: Final = 10  # of the header that are used
ROWS: Final = 128
OVERFLOW_ROWS: Final = 5
ROW_NUMBERS: Final = Row.BUCKETS + len(BOUNDS) + 1
ROW_BYTES: Final = 8 * ROW_NUMBERS
ROWS_AT: Final = HEADER_BYTES

SLOTS: Final = 1024
SINCE_AT: Final = ROWS_AT + ROWS * ROW_BYTES
SLOTS_AT: Final = SINCE_AT + 8 * SLOTS
CLIENT_BYTES: Final = 56
LINE_BYTES: Final = 128
SLOT_BYTES: Final = 8 + CLIENT_BYTES + LINE_BYTES
"""Which greenlet, thread or task; the client; the first line of the request."""

VALUES: Final = 16 * 1024
VALUES_AT: Final = SLOTS_AT + SLOTS * SLOT_BYTES
VALUE_BYTES: Final = 16  # the value, and when it was set
EXEMPLARS: Final = 1024
EXEMPLARS_AT: Final = VALUES_AT + VALUES * VALUE_BYTES
EXEMPLAR_BYTES: Final = 512
KEYS_AT: Final = EXEMPLARS_AT + EXEMPLARS * EXEMPLAR_BYTES
KEYS_BYTES: Final = 4 * 1024 * 1024
MOST_KEY_BYTES: Final = 4 * 1024
"""Of one key: names, help text, labels."""

WHOLE_BYTES: Final = KEYS_AT + KEYS_BYTES

_STATUS_BITS: Final = 16
_MOST_STATUS: Final = 599


def key_of_row(method: int, status: int) -> int:
    """Return the key of the row for a method, by its number, and a status; 0 for a request that got no answer."""
    return (method << _STATUS_BITS | status) + 1


def row_of_key(key: int) -> tuple[str, int] | None:
    """Return the method and the status of a row; ``None`` if the key is nonsense, or the row unused."""
    method, status = divmod(key - 1, 1 << _STATUS_BITS)
    if key <= 0 or method >= len(METHODS) or not (status == 0 or 100 <= status <= _MOST_STATUS):
        return None
    return METHODS[method], status
