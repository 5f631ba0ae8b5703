"""Find the handler of a call's verb, and answer the call: the table that both ends of the sharing have.

A capability adds its verbs by ``verbs.on(verb, arguments, handler)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeAlias

from msgspec.msgpack import Decoder

from ..errors import ClusterError, InternalError
from .outcomes import Failure, failure_of
from .wire import decode_by, encode

__all__ = ["PRIMARY", "UNASKED", "Caller", "Moment", "Returning", "Verb", "Verbs"]

PRIMARY: Final = 0
"""The primary's id among the peers."""

_MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024


class Caller(Protocol):
    """The caller."""

    @property
    def id(self) -> int:
        """The worker's id; 0 for the primary."""

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        """Answer what it has called."""


class Returning:
    """Answers one call, now or later; only the first answer counts."""

    __slots__ = ("_number", "_open", "_peer")

    def __init__(self, peer: Caller, number: int, opened: set[Returning] | None = None) -> None:
        self._peer = peer
        self._number = number
        self._open = opened
        if opened is not None:
            opened.add(self)

    def value(self, value: object) -> None:
        """It was done, and this came of it."""
        self._give(True, value)

    def failure(self, failure: Failure) -> None:
        """It was not done."""
        self._give(False, failure)

    def _give(self, is_done: bool, value: object) -> None:
        opened, self._open = self._open, None
        if opened is None or self not in opened:
            return
        opened.discard(self)
        try:
            body = encode(value, "an answer", _MOST_ANSWER_BYTES)
        except ClusterError as error:
            is_done, body = False, encode(failure_of(error))
        self._peer.give(self._number, is_done, body)


class _Unasked(Returning):
    """Of a call that wants no answer."""

    def __init__(self) -> None:
        self._open = None


UNASKED: Final[Returning] = _Unasked()
"""Answers nobody."""

Moment: TypeAlias = Literal["joined", "listening", "leaving", "left", "ended"]
"""``left``: it has no channel any more; ``ended``: its process is no more."""

Verb: TypeAlias = Callable[[Caller, Any, Returning], None]


class Verbs:
    """A table ``verb → handler``: ``handler(peer, arguments, returning)``, with the type of its arguments."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Decoder[Any], Verb]] = {}

    def on(self, verb: str, arguments: Any, handler: Verb) -> None:  # noqa: ANN401 - any type
        """Call ``handler`` for every call of this verb, with arguments of that type.

        Raises:
            InternalError: the verb has a handler already.
        """
        if verb in self._handlers:
            raise InternalError(f"{verb} has a handler already")
        self._handlers[verb] = Decoder(arguments), handler

    def call(self, peer: Caller, verb: str, body: bytes | bytearray, returning: Returning) -> None:
        """Pass a call to the handler of its verb.

        Raises:
            FrameError: the arguments are not of its type.
        """
        found = self._handlers.get(verb)
        if found is None:
            returning.failure(Failure("failed", f"nobody knows {verb!r} here: another version sent it"))
            return
        found[1](peer, decode_by(found[0], body), returning)
