"""Tests on a real cluster: the types that a test names in its annotations, and what it asserts.

The fixtures come with the plugin, which pytest loads by itself::

    def test_crash(cluster: Cluster) -> None:
        first = cluster.workers[0]
        with cluster.expect("exit", worker=first):
            first.kill()

Everything here is loaded on first use: a test run without a cluster pays almost nothing for the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .changes import ReloadReport as ReloadReport
    from .changes import Snapshot as Snapshot
    from .changes import WorkerSnapshot as WorkerSnapshot
    from .client import Client as Client
    from .cluster import Cluster as Cluster
    from .endpoint import Response as Response
    from .entries import JournalEntry as JournalEntry
    from .entries import ListeningAddress as ListeningAddress
    from .errors import ClusterError as ClusterError
    from .errors import CrashError as CrashError
    from .errors import FaultError as FaultError
    from .errors import LeakError as LeakError
    from .errors import NotImportable as NotImportable
    from .errors import OptionError as OptionError
    from .errors import ProcessGone as ProcessGone
    from .errors import RemoteError as RemoteError
    from .errors import StartError as StartError
    from .errors import StopError as StopError
    from .errors import WaitTimeout as WaitTimeout
    from .expectations import Expectation as Expectation
    from .faults import Faults as Faults
    from .fixtures import ClusterFactory as ClusterFactory
    from .gates import Arrival as Arrival
    from .gates import Gate as Gate
    from .hits import Hit as Hit
    from .hits import Hits as Hits
    from .hits import assert_distribution as assert_distribution
    from .hits import assert_no_request_lost as assert_no_request_lost
    from .journal import Journal as Journal
    from .messages import Messages as Messages
    from .options import ClusterOptions as ClusterOptions
    from .prepared import PreparedCluster as PreparedCluster
    from .primary import PrimaryProxy as PrimaryProxy
    from .worker import WorkerProxy as WorkerProxy

__all__ = [
    "Arrival",
    "Client",
    "Cluster",
    "ClusterError",
    "ClusterFactory",
    "ClusterOptions",
    "CrashError",
    "Expectation",
    "FaultError",
    "Faults",
    "Gate",
    "Hit",
    "Hits",
    "Journal",
    "JournalEntry",
    "LeakError",
    "ListeningAddress",
    "Messages",
    "NotImportable",
    "OptionError",
    "PreparedCluster",
    "PrimaryProxy",
    "ProcessGone",
    "ReloadReport",
    "RemoteError",
    "Response",
    "Snapshot",
    "StartError",
    "StopError",
    "WaitTimeout",
    "WorkerProxy",
    "WorkerSnapshot",
    "assert_distribution",
    "assert_no_request_lost",
]

# The module that each public name is loaded from.
_HOME = {
    "Arrival": "gates",
    "Client": "client",
    "Cluster": "cluster",
    "ClusterError": "errors",
    "ClusterFactory": "fixtures",
    "ClusterOptions": "options",
    "CrashError": "errors",
    "Expectation": "expectations",
    "FaultError": "errors",
    "Faults": "faults",
    "Gate": "gates",
    "Hit": "hits",
    "Hits": "hits",
    "Journal": "journal",
    "JournalEntry": "entries",
    "LeakError": "errors",
    "ListeningAddress": "entries",
    "Messages": "messages",
    "NotImportable": "errors",
    "OptionError": "errors",
    "PreparedCluster": "prepared",
    "PrimaryProxy": "primary",
    "ProcessGone": "errors",
    "ReloadReport": "changes",
    "RemoteError": "errors",
    "Response": "endpoint",
    "Snapshot": "changes",
    "StartError": "errors",
    "StopError": "errors",
    "WaitTimeout": "errors",
    "WorkerProxy": "worker",
    "WorkerSnapshot": "changes",
    "assert_distribution": "hits",
    "assert_no_request_lost": "hits",
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
