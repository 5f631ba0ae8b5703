"""Type the factories that fixtures return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, overload

if TYPE_CHECKING:
    from .cluster import Cluster
    from .nginx import Nginx
    from .prepared import PreparedCluster

__all__ = ["ClusterFactory", "NginxFactory"]


class ClusterFactory(Protocol):
    """Starts a cluster; the keywords are the marker's and override it."""

    @overload
    def __call__(self, *, start: Literal[True] = ..., **changes: object) -> Cluster: ...
    @overload
    def __call__(self, *, start: Literal[False], **changes: object) -> PreparedCluster: ...
    def __call__(self, *, start: bool = True, **changes: object) -> Cluster | PreparedCluster:
        """Return a running cluster, which ends with the test at the latest; or one that is yet to be started."""
        ...


class NginxFactory(Protocol):
    """Starts nginx before clusters; *server* is what stands in ``server { … }``, where ``http://cluster`` are they."""

    def __call__(self, *clusters: object, server: str | None = None) -> Nginx:
        """Return it when it answers; it ends with the test."""
        ...
