"""Forward group messages to other hosts; runs in the worker that leads its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import FrameError, MessageTooLarge
from .remote_groups import RemotePost
from .wire import decode, encode

if TYPE_CHECKING:
    from .bridge import Bridge
    from .sides import Around

__all__ = ["RemotePosts"]

_VERSION: Final = 1
_MOST: Final = 17 * 1024 * 1024


class _Carried(msgspec.Struct, array_like=True, frozen=True):
    """What is published: the version, the host, what it tells."""

    version: int
    host: str
    told: Any


class RemotePosts:
    """Carries the posts of groups that span hosts, in this worker.

    Args:
        sharing: around it.
        name: of the clusters that share the server.
        host: this one's name.

    Attributes:
        foreign: how many messages were of another version, or broken.
    """

    def __init__(self, sharing: Around, name: str, host: str) -> None:
        self.foreign = 0
        self._sharing = sharing
        self._channel = f"nodecluster:{name}:groups"
        self._host = host
        self._publish: Callable[[bytes, str], None] | None = None
        self._table: bytes | None = None

    def begin(self, bridge: Bridge) -> None:
        """Hear other hosts by a bridge, and tell them by it."""
        bridge.others[self._channel.encode()] = self._heard
        self._publish = bridge.publish_on

    def end(self) -> None:
        """Tell nobody any more."""
        self._publish = None

    def tell(self, told: Any) -> None:  # noqa: ANN401 - decoded, of RemoteTable or RemotePost
        """Tell all other hosts."""
        data = encode(_Carried(_VERSION, self._host, told), limit=_MOST)
        if told[0] == "table":
            self._table = data
        self._send(data)

    def tell_table_again(self) -> None:
        """Some host may not have heard who takes part here."""
        if self._table is not None:
            self._send(self._table)

    def _send(self, data: bytes) -> None:
        if self._publish is not None:
            self._publish(data, self._channel)

    def present(self, hosts: list[str]) -> None:
        """Only these hosts are there; one of them may not have heard yet who takes part here."""
        self._pass_on("hosts", hosts)
        self.tell_table_again()

    def _heard(self, data: bytes) -> None:
        try:
            carried: _Carried = decode(data, _Carried)
        except FrameError:
            self._is_foreign()
            return
        if carried.version != _VERSION:
            self._is_foreign()
        elif carried.host != self._host and self._is_for_us(carried.told):
            self._pass_on("carried groups", encode([carried.host, carried.told], limit=_MOST))

    def _is_for_us(self, told: Any) -> bool:  # noqa: ANN401 - decoded, of RemoteTable or RemotePost, or nonsense
        is_post = isinstance(told, list) and len(told) == len(RemotePost.__struct_fields__) + 1
        return not is_post or told[3] in ("", self._host)

    def _is_foreign(self) -> None:
        self.foreign += 1
        self._sharing.losses.count("foreign")

    def _pass_on(self, verb: str, arguments: object) -> None:
        try:
            self._sharing.side.tell(verb, encode(arguments, limit=2 * _MOST))
        except MessageTooLarge:
            self._sharing.losses.count("too_large")
