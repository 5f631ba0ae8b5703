"""Tests on a real cluster: the types that a test names in its annotations.

The fixtures come with the plugin, which pytest loads by itself::

    def test_crash(cluster: Cluster) -> None:
        first = cluster.workers[0]
        first.kill()
        cluster.journal.wait_for("exit", worker=first.id)

Everything here is loaded on first use: a test run without a cluster pays almost nothing for the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Response as Response
    from .cluster import Cluster as Cluster
    from .errors import ClusterError as ClusterError
    from .errors import LeakError as LeakError
    from .errors import OptionError as OptionError
    from .errors import StartError as StartError
    from .errors import StopError as StopError
    from .errors import WaitTimeout as WaitTimeout
    from .fixtures import ClusterFactory as ClusterFactory
    from .journal import Journal as Journal
    from .journal import JournalEntry as JournalEntry
    from .journal import ListeningAddress as ListeningAddress
    from .options import ClusterOptions as ClusterOptions
    from .worker import PrimaryProxy as PrimaryProxy
    from .worker import WorkerProxy as WorkerProxy

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterFactory",
    "ClusterOptions",
    "Journal",
    "JournalEntry",
    "LeakError",
    "ListeningAddress",
    "OptionError",
    "PrimaryProxy",
    "Response",
    "StartError",
    "StopError",
    "WaitTimeout",
    "WorkerProxy",
]

# The module that each public name is loaded from.
_HOME = {
    "Cluster": "cluster",
    "ClusterError": "errors",
    "ClusterFactory": "fixtures",
    "ClusterOptions": "options",
    "Journal": "journal",
    "JournalEntry": "journal",
    "LeakError": "errors",
    "ListeningAddress": "journal",
    "OptionError": "errors",
    "PrimaryProxy": "worker",
    "Response": "client",
    "StartError": "errors",
    "StopError": "errors",
    "WaitTimeout": "errors",
    "WorkerProxy": "worker",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
