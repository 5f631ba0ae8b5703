"""Sort out the arguments of ``send()``, which may be spelt as in Node: ``send(message, handle, options, callback)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..base.arguments import checked_options, take_callback
from ..base.arity import checked_callback
from ..base.records import Handle
from ..errors import ArgumentTypeError
from ..messages.channel import SendCallback

__all__ = ["SendOptions", "sent_as"]

SendOptions: TypeAlias = Mapping[str, Any] | Callable[..., Any] | None

_NAMES = {"keepOpen": "keep_open"}


def sent_as(
    handle: Handle | Callable[..., Any], options: SendOptions, callback: Callable[..., Any] | None, keep_open: bool
) -> tuple[Handle, bool, SendCallback | None]:
    """Return handle, ``keep_open`` and callback, each in its own place.

    Args:
        handle: what goes with the message, or the callback.
        options: Node's ``{"keepOpen": True}``, or the callback.
        callback: called with ``None`` once the message is written, or with the error.
        keep_open: a connected socket stays usable on this side too.

    Raises:
        ArgumentError: it is none of Node's spellings.
    """
    if handle is None and options is None and callback is None:
        return None, keep_open, None
    (handle, options), callback = take_callback((handle, options), callback)
    if options is not None:
        if not isinstance(options, Mapping):
            raise ArgumentTypeError(f"expected the options of send() as a mapping, got {options!r}")
        keep_open = bool(checked_options(options, _NAMES, "send()").get("keep_open", keep_open))
    return handle, keep_open, checked_callback(callback, 1, "the callback of send()")
