"""Workers of one process that count by the real ``prometheus_client``, and what a scraper reads of them together."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

from prometheus_client import CollectorRegistry, values
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.operations.metrics import shared_values
from nodecluster_compat.operations.metrics.application_sum import ApplicationSum
from nodecluster_compat.operations.metrics.application_values import ApplicationValues
from nodecluster_compat.operations.metrics.exposition import openmetrics, text
from nodecluster_compat.operations.metrics.layout import WHOLE_BYTES
from nodecluster_compat.operations.metrics.prometheus_values import share_prometheus_metrics
from nodecluster_compat.operations.metrics.shared_values import abandon_values, make_values, worker_begins

__all__ = ["MeteredWorkers", "metered_workers", "samples_of", "write_key"]


class MeteredWorkers:
    """Workers of one process, one after another: each is forked from what was there before."""

    def __init__(self) -> None:
        self.memories: dict[int, SealedMemory] = {}
        self.readers: dict[int, ApplicationValues] = {}
        self.ended = ApplicationSum()
        self.registry = CollectorRegistry()

    def fork(self, slot: int) -> None:
        """What is counted from now on is counted by the worker in ``slot``."""
        memory = SealedMemory("test", WHOLE_BYTES)
        self.memories[slot], self.readers[slot] = memory, ApplicationValues(memory)
        worker_begins(memory.view())

    def fork_anew(self, slot: int) -> None:
        """The same, of a process that has no metrics yet."""
        shared_values._ThisProcess.values = None
        self.fork(slot)

    def end(self, slot: int) -> None:
        self.ended.add(slot, self.readers.pop(slot), has_ended=True)
        self.memories.pop(slot).close()

    def together(self) -> ApplicationSum:
        made = self.ended.copy()
        for slot, reader in self.readers.items():
            made.add(slot, reader)
        return made

    def told(self) -> dict[str, float]:
        """What a scraper reads, as ``name{labels}``; both formats are the same."""
        families = self.together().families()
        plain = samples_of(parse_text(text(families).decode()))
        assert plain == samples_of(parse_openmetrics(openmetrics(families).decode()))
        return plain


@contextlib.contextmanager
def metered_workers() -> Iterator[MeteredWorkers]:
    """Let ``prometheus_client`` count in shared memory meanwhile."""
    with (
        mock.patch.object(values, "ValueClass", values.ValueClass),
        mock.patch.multiple(shared_values._ThisProcess, values=None, view=None),
    ):
        share_prometheus_metrics()
        made = MeteredWorkers()
        yield made
        abandon_values()
        for memory in made.memories.values():
            memory.close()


def samples_of(families: Any) -> dict[str, float]:
    """Return what a parser has found, as ``name{labels}``; nothing is told twice."""
    found = {}
    for family in families:
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            assert (one.name + labels) not in found
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def write_key(key: list[Any], value: float = 1.0) -> None:
    """Count what ``prometheus_client`` would not."""
    store = make_values()
    index = store.index_of(json.dumps(key).encode())
    if index >= 0:
        store.cells[2 * index] = value
