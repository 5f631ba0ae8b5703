"""Route a test's connections through a proxy, while there is one in front of the server."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Detour"]


@dataclass(slots=True)
class Detour:
    """The way from the clients of one cluster to its server.

    Attributes:
        goal: where the server listens: a host and a port, or the path of a unix socket; ``None``: not yet.
        via: where clients connect in its place, if that is elsewhere.
    """

    goal: tuple[str, int] | str | None = None
    via: tuple[str, int] | None = None
