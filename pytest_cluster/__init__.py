"""Offer a test of a real cluster its types, for annotations, its errors and its assertions.

The fixtures come with the plugin, which pytest loads by itself::

    def test_crash(cluster: Cluster) -> None:
        first = cluster.workers[0]
        with cluster.expect("exit", worker=first):
            first.kill()

Everything here is loaded on first use: a test run without a cluster pays almost nothing for the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clusters.changes import ReloadReport as ReloadReport
    from .clusters.changes import Snapshot as Snapshot
    from .clusters.changes import WorkerSnapshot as WorkerSnapshot
    from .clusters.chaos import Chaos as Chaos
    from .clusters.cluster import Cluster as Cluster
    from .clusters.factories import ClusterFactory as ClusterFactory
    from .clusters.factories import NginxFactory as NginxFactory
    from .clusters.foreign import ForeignCluster as ForeignCluster
    from .clusters.nginx import Nginx as Nginx
    from .clusters.prepared import PreparedCluster as PreparedCluster
    from .errors import ClusterError as ClusterError
    from .errors import CrashError as CrashError
    from .errors import FaultError as FaultError
    from .errors import ForeignRedirect as ForeignRedirect
    from .errors import HookError as HookError
    from .errors import InAnotherProcess as InAnotherProcess
    from .errors import LeakError as LeakError
    from .errors import MissingLibrary as MissingLibrary
    from .errors import MissingProgram as MissingProgram
    from .errors import NotImportable as NotImportable
    from .errors import OptionError as OptionError
    from .errors import ProcessGone as ProcessGone
    from .errors import RedirectLoop as RedirectLoop
    from .errors import RemoteError as RemoteError
    from .errors import ServiceError as ServiceError
    from .errors import StartError as StartError
    from .errors import StopError as StopError
    from .errors import UncheckedExpectation as UncheckedExpectation
    from .errors import UnknownKeyword as UnknownKeyword
    from .errors import WaitTimeout as WaitTimeout
    from .faults.cluster_faults import Faults as Faults
    from .faults.gates import Arrival as Arrival
    from .faults.gates import Gate as Gate
    from .faults.network_faults import Network as Network
    from .journal.entries import JournalEntry as JournalEntry
    from .journal.entries import ListeningAddress as ListeningAddress
    from .journal.expectations import Expectation as Expectation
    from .journal.journal import Journal as Journal
    from .journal.messages import Messages as Messages
    from .options.cluster_options import ClusterOptions as ClusterOptions
    from .processes.primary import PrimaryProxy as PrimaryProxy
    from .processes.worker import WorkerProxy as WorkerProxy
    from .requests.async_client import AsyncClient as AsyncClient
    from .requests.client import Client as Client
    from .requests.hits import Hit as Hit
    from .requests.hits import Hits as Hits
    from .requests.hits import assert_distribution as assert_distribution
    from .requests.hits import assert_no_request_lost as assert_no_request_lost
    from .requests.response import Response as Response
    from .server.services import Service as Service

__all__ = [
    "Arrival",
    "AsyncClient",
    "Chaos",
    "Client",
    "Cluster",
    "ClusterError",
    "ClusterFactory",
    "ClusterOptions",
    "CrashError",
    "Expectation",
    "FaultError",
    "Faults",
    "ForeignCluster",
    "ForeignRedirect",
    "Gate",
    "Hit",
    "Hits",
    "HookError",
    "InAnotherProcess",
    "Journal",
    "JournalEntry",
    "LeakError",
    "ListeningAddress",
    "Messages",
    "MissingLibrary",
    "MissingProgram",
    "Network",
    "Nginx",
    "NginxFactory",
    "NotImportable",
    "OptionError",
    "PreparedCluster",
    "PrimaryProxy",
    "ProcessGone",
    "RedirectLoop",
    "ReloadReport",
    "RemoteError",
    "Response",
    "Service",
    "ServiceError",
    "Snapshot",
    "StartError",
    "StopError",
    "UncheckedExpectation",
    "UnknownKeyword",
    "WaitTimeout",
    "WorkerProxy",
    "WorkerSnapshot",
    "assert_distribution",
    "assert_no_request_lost",
]

# The module that each public name is loaded from.
_HOME = {
    "Arrival": "faults.gates",
    "AsyncClient": "requests.async_client",
    "Chaos": "clusters.chaos",
    "Client": "requests.client",
    "Cluster": "clusters.cluster",
    "ClusterError": "errors",
    "ClusterFactory": "clusters.factories",
    "ClusterOptions": "options.cluster_options",
    "CrashError": "errors",
    "Expectation": "journal.expectations",
    "FaultError": "errors",
    "Faults": "faults.cluster_faults",
    "ForeignCluster": "clusters.foreign",
    "ForeignRedirect": "errors",
    "Gate": "faults.gates",
    "Hit": "requests.hits",
    "Hits": "requests.hits",
    "HookError": "errors",
    "InAnotherProcess": "errors",
    "Journal": "journal.journal",
    "JournalEntry": "journal.entries",
    "LeakError": "errors",
    "ListeningAddress": "journal.entries",
    "Messages": "journal.messages",
    "MissingLibrary": "errors",
    "MissingProgram": "errors",
    "Network": "faults.network_faults",
    "Nginx": "clusters.nginx",
    "NginxFactory": "clusters.factories",
    "NotImportable": "errors",
    "OptionError": "errors",
    "PreparedCluster": "clusters.prepared",
    "PrimaryProxy": "processes.primary",
    "ProcessGone": "errors",
    "RedirectLoop": "errors",
    "ReloadReport": "clusters.changes",
    "RemoteError": "errors",
    "Response": "requests.response",
    "Service": "server.services",
    "ServiceError": "errors",
    "Snapshot": "clusters.changes",
    "StartError": "errors",
    "StopError": "errors",
    "UncheckedExpectation": "errors",
    "UnknownKeyword": "errors",
    "WaitTimeout": "errors",
    "WorkerProxy": "processes.worker",
    "WorkerSnapshot": "clusters.changes",
    "assert_distribution": "requests.hits",
    "assert_no_request_lost": "requests.hits",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
