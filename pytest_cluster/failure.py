"""Adding what a cluster has to say to the report of a failed test."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from . import report, settings
from .run import CLUSTERS
from .waiting import poll, scaled

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["STARTED", "describe_failure"]

MOST_CLUSTERS = 3  # of a test that starts many: the last ones

# A client sees the end of a worker before the primary has said so: the report waits for the primary's word.
SETTLE_SECONDS = 1.0

STARTED = pytest.StashKey[float]()


def describe_failure(item: pytest.Item, when: str, error: BaseException) -> None:
    """Add sections to *item*'s report: cause, topology, timeline, logs; and write the artefacts."""
    clusters: list[Cluster] = item.stash.get(CLUSTERS, [])
    for number, cluster in enumerate(clusters[-MOST_CLUSTERS:], start=1):
        name = "cluster" if number == 1 else f"cluster {number}"
        try:
            sections = _sections(item, cluster, number, error)
        except Exception as problem:  # noqa: BLE001 - the failure itself must be reported, whatever this one says
            sections = [("stderr", "report", f"the state of the cluster could not be read: {problem!r}")]
        for stream, title, text in sections:
            item.add_report_section(when, f"{stream} {name}: {title}", f"{text}\n")


def _sections(item: pytest.Item, cluster: Cluster, number: int, error: BaseException) -> list[tuple[str, str, str]]:
    start = item.stash.get(STARTED, time.monotonic())
    poll(lambda: not any(worker.is_ending() for worker in cluster.workers), scaled(SETTLE_SECONDS))
    cluster.server.settle()
    stacks = cluster.server.stacks() if _is_timeout(error) else []
    extra = [("topology", report.topology(cluster, _uid(item.config))), *stacks]
    place, problem = _artefacts(item, cluster, number, extra)
    told = report.timeline(cluster.journal.entries, start, f"{place}/journal.jsonl" if place else "")
    cause = report.cause_of(cluster, compares=settings.value_of(item.config, "compare").value)
    summary = [f"cause: {cause}", problem, f"artefacts: {place}" if place else "", _reproduce(item)]
    sections = [("stdout", "cause", "\n".join(line for line in summary if line))]
    sections += [("stdout", "topology", extra[0][1]), ("stdout", "timeline", told)]
    if not _has_stacks(error):
        sections += [("stdout", one, f"{one}:\n{trace}") for one, trace in stacks]
    return sections + [("stderr", one, log) for one, log in report.log_sections(cluster)]


def _artefacts(item: pytest.Item, cluster: Cluster, number: int, extra: list[tuple[str, str]]) -> tuple[str, str]:
    """Return the folder, from the root if it is there, and what went wrong."""
    from .artifacts import artifacts_folder, write_artifacts

    try:
        base = artifacts_folder(item.config)
        if base is None:
            return "", ""
        folder = write_artifacts(base, item.nodeid, cluster, extra, number=number)
    except OSError as problem:
        return "", f"artefacts could not be written: {problem}"
    return os.path.relpath(folder, item.config.rootpath), ""


def _reproduce(item: pytest.Item) -> str:
    changed = []
    for setting in settings.SETTINGS:
        found = settings.value_of(item.config, setting.name)
        if found.source not in ("default", "ini") and setting.name != "keep":
            value = ",".join(map(str, found.value)) if isinstance(found.value, tuple) else str(found.value)
            changed += [setting.option] if setting.metavar is None else [f"{setting.option}={value}"]
    return report.reproduce_line(item.nodeid, changed)


def _uid(config: pytest.Config) -> str:
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    return f"({worker})" if worker else ""


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or "Timeout" in str(error)[:100]


def _has_stacks(error: BaseException) -> bool:
    return "--- stacks of " in str(error)
