"""Find the worker of a new connection by its first bytes, in the primary: by built-in keys, never a program's own.

A program's are its functions, and its regular expressions: there are bytes for which one takes minutes, with the
interpreter's lock held.

It saves most trips of connections that a worker would hand on.  What it does not see, or cannot decide by what has
come, the worker decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...base.native import in_force
from ...routing.engineio import EngineIO
from ...routing.keys import FunctionKey, Path
from ...routing.proxy_header import proxy_header_bytes
from ...routing.router import Router

if TYPE_CHECKING:
    from ...base.log import Log
    from ...base.native import Choice
    from ...routing.keys import Key

__all__ = ["PeekedKeys", "quick_look"]

_FIRST = (b"P", b"\r")  # of a header of the PROXY protocol, or of a POST
_SHIPPED = __name__.partition(".")[0] + ".routing."


class PeekedKeys:
    """Says whose a connection is.

    Args:
        members: returns the workers that serve, by slot.
        keys: in force; ``None``: those of Socket.IO.
        log: of the keys; must not wait.

    Attributes:
        sees_nothing: there is no key by which it could look.
        is_quick: whether it looks for sessions of Engine.IO and nothing else; dealing in C does so itself then.
    """

    def __init__(self, members: Callable[[], dict[int, int]], keys: tuple[Key, ...] | None, log: Log) -> None:
        shipped = _shipped((EngineIO(),) if keys is None else keys)
        self._members = members
        self._router = Router(shipped, 0, members, log) if shipped else None
        self.sees_nothing = not shipped
        self.is_quick = [type(key) for key in shipped] == [EngineIO]
        self._quick = quick_look(in_force())

    def __call__(self, data: bytes) -> int:
        """Return the id of a worker that serves, 0 for anybody."""
        if data[:1] in _FIRST:
            data = data[proxy_header_bytes(data) or 0 :]
        if self.is_quick:
            target = self._quick(data)
            return target if target and target in self._members().values() else 0
        if self._router is None:
            return 0
        decision = self._router.decide(data, False)
        return max(0, decision)


def quick_look(choice: Choice) -> Callable[[bytes], int]:
    """Return what serves for ``EngineIO.look``: C or Python."""
    return EngineIO.look if choice.module is None else choice.module.look


def _shipped(keys: tuple[Key, ...]) -> list[Key]:
    """Return the keys up to the first that is a program's: what that would find is not known here."""
    shipped: list[Key] = []
    for key in keys:
        if isinstance(key, FunctionKey | Path) or not type(key).__module__.startswith(_SHIPPED):
            break
        shipped.append(key)
    return shipped
