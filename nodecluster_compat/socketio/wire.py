"""Encode and decode what managers tell each other: JSON, or pickle where the application's packets are not JSON.

A manager whose packets are JSON refuses pickles: whatever takes over one worker does not get the others by them.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from ..errors import FrameError, MessageNotSerializable

__all__ = ["Told", "Wire", "pack_arguments", "unpack_arguments"]

Told: TypeAlias = dict[str, Any]

_PICKLE: bytes = b"\x80"


class _Json(Protocol):
    """A module that is as Python's ``json``."""

    @property
    def dumps(self) -> Callable[..., str | bytes]: ...

    @property
    def loads(self) -> Callable[..., Any]: ...


class Wire(Struct, frozen=True):
    """How one manager encodes.

    Attributes:
        json: the module that its server uses.
        pickles: whether the server's packets hold more than JSON can.
    """

    json: _Json
    pickles: bool = False

    def encode(self, told: Told) -> bytes:
        """Return what is told as bytes.

        Raises:
            MessageNotSerializable: it holds something that cannot be sent.
        """
        try:
            if self.pickles:
                return pickle.dumps(told, protocol=5)
            text = self.json.dumps(told)
        except Exception as error:
            raise MessageNotSerializable(f"expected data that other workers can be sent, got: {error}") from error
        return text.encode() if isinstance(text, str) else text

    def decode(self, body: bytes) -> Told:
        """Return what was told.

        Raises:
            FrameError: it is nothing that a manager of this server has encoded.
        """
        try:
            if body[:1] == _PICKLE:
                if not self.pickles:
                    raise FrameError("a pickle came, and the packets of this server are JSON")
                told = pickle.loads(body)  # noqa: S301 - of another worker, and only where packets are no JSON
            else:
                told = self.json.loads(body)
        except FrameError:
            raise
        except Exception as error:
            raise FrameError(f"what another worker told cannot be decoded: {error}") from error
        if not isinstance(told, dict) or not isinstance(told.get("method"), str):
            raise FrameError("what another worker told has no method")
        return told


def pack_arguments(arguments: Any, packet: Any) -> Told:  # noqa: ANN401 - of the application; Socket.IO has no types
    """Return the arguments of an acknowledgement for JSON, as ``emit`` packs its data: bytes apart, in base64.

    Args:
        arguments: what the client has answered.
        packet: ``socketio.packet.Packet``.
    """
    values = list(arguments)
    if not packet.data_is_binary(values):
        return {"args": values}
    values, attachments = packet.deconstruct_binary(values)
    return {"args": [values, *(base64.b64encode(one).decode() for one in attachments)], "binary": True}


def unpack_arguments(told: Told, packet: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Return the arguments that :func:`pack_arguments` has packed."""
    arguments: list[Any] = told["args"]
    if not told.get("binary"):
        return arguments
    restored: list[Any] = packet.reconstruct_binary(arguments[0], [base64.b64decode(one) for one in arguments[1:]])
    return restored
