"""Tell whether a peer is a trusted proxy: ``forwarded_allow_ips``, read as gunicorn reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gunicorn.http import message

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["is_trusted"]


def is_trusted(cfg: Settings, peer: object) -> bool:
    """Return whether a peer may set the fields of a proxy; one without an address, behind a unix socket, may."""
    if not isinstance(peer, tuple):
        return True
    return bool(message._ip_in_allow_list(peer[0], cfg.forwarded_allow_ips, cfg.forwarded_allow_networks()))
