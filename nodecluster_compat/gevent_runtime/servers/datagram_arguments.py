"""Sort out the arguments of a UDP socket's ``send()``, which Node takes in two orders."""

from __future__ import annotations

from typing import Any, Final

from ...base.arguments import checked_bytes, take_callback
from ...errors import ArgumentError

__all__ = ["datagram_arguments"]

_MOST_REST: Final = 2


def datagram_arguments(
    data: object,
    port: Any,  # noqa: ANN401 - any spelling
    address: Any,  # noqa: ANN401
    callback: Any,  # noqa: ANN401
    rest: tuple[Any, ...],
) -> tuple[bytes, Any, Any, Any]:
    """Return the bytes to send, the port, the address and the callback.

    Args:
        data: bytes, or text as UTF-8, or a list of them, which are sent as one.
        port: the port; or the offset of the part of ``data`` that is to be sent.
        address: the address, or the callback; or the length of that part.
        callback: the callback; or the port.
        rest: address and callback, where offset and length came first.

    Raises:
        ArgumentError: it is none of Node's spellings, or there is no such part.
    """
    if rest or (isinstance(address, int) and callback is not None):
        if len(rest) > _MOST_REST:
            raise ArgumentError("expected send(data, offset, length, port, address, callback), got more arguments")
        payload = _part(data, port, address)
        port, (address, callback) = callback, (*rest, None, None)[:_MOST_REST]
    else:
        payload = b"".join(map(checked_bytes, data if isinstance(data, list | tuple) else [data]))
    (address,), callback = take_callback((address,), callback)
    return payload, port, address, callback


def _part(data: object, offset: Any, length: Any) -> bytes:  # noqa: ANN401 - whatever a program gives
    whole = checked_bytes(data)
    if not (_is_whole(offset) and _is_whole(length)) or offset + length > len(whole):
        raise ArgumentError(f"expected an offset and a length within {len(whole)} bytes, got {offset!r} and {length!r}")
    return whole[offset : offset + length]


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0
