"""Add sections about the cluster to the report of a failed test."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import HookError, ServerError, Unanswered, WaitTimeout
from ..options import settings
from ..requests.unanswered import find_holders
from ..server.server_process import ServerProcess
from ..stash import CLUSTERS, FAILED, STARTED, VERDICT
from ..waiting import cut, poll, scaled
from . import report
from .error_chain import chain
from .hook_calls import call_hook
from .moments import MOST_CLUSTERS, Moment
from .reproducing import reproduce
from .transactions import unseen_writes

if TYPE_CHECKING:
    from ..clusters.changes import Snapshot
    from ..clusters.cluster import Cluster
    from .records import ClusterRecord

__all__ = ["describe_failure"]

# A client sees the end of a worker before the primary has said so: the report waits for the primary's word.
SETTLE_SECONDS = 1.0

OURS = re.compile(r"std(out|err) cluster[ .:]")
"""How the names of our sections begin."""

ReportSection = tuple[str, str, str]
"""The stream, title and text of a section."""


def describe_failure(
    item: pytest.Item, result: pytest.TestReport, error: BaseException | None, moments: Mapping[int, Moment]
) -> None:
    """Add sections to a report: cause, topology, timeline, logs; and write the artefacts.

    A server that did not start, or did not end, has no cluster that could be asked any more: its error is the cause.

    :param error: what was raised; ``None`` where a test passed that should not have.
    :param moments: what :func:`.moments.observe_clusters` returned.
    """
    broken = next((one for one in chain(error) if isinstance(one, ServerError)), None)
    server = broken.server if broken is not None and isinstance(broken.server, ServerProcess) else None
    has_failed = item.stash.get(FAILED, False)
    clusters: list[Cluster] = []
    if result.when != "teardown" or not (has_failed or server):
        clusters = [one for one in item.stash.get(CLUSTERS, []) if one.server is not server][-MOST_CLUSTERS:]
    told = _Told(item, result, error)
    _forget_earlier(item, result)
    for number, cluster in enumerate(clusters, start=1):
        moment = moments.get(cluster.server.pid, Moment())
        _add(item, result, _name_of(number), partial(_sections, told, cluster, number, moment))
    if server is not None:
        part = f".{result.when}" if clusters or has_failed else ""
        _add(item, result, f"cluster{part}", partial(_sections_of_failed_server, told, server, str(broken), part))
    if told.records:
        told.tell_hooks()


@dataclass(frozen=True, slots=True)
class _Told:
    """A failure that is being reported; *records* are made where somebody wants them."""

    item: pytest.Item
    result: pytest.TestReport
    error: BaseException | None
    records: list[ClusterRecord] = field(default_factory=list)

    @property
    def start(self) -> float:
        return self.item.stash.get(STARTED, time.monotonic())

    @property
    def is_wanted(self) -> bool:
        return bool(self.item.ihook.pytest_cluster_failed.get_hookimpls())

    def more_of(self, cluster: Cluster) -> list[tuple[str, str]]:
        """Return what plugins add, cut."""
        caller = self.item.ihook.pytest_cluster_report_sections
        try:
            found = call_hook(caller, cluster=cluster, item=self.item, report=self.result)
        except HookError as problem:
            return [("hook", str(problem))]
        return [section for one in found for section in _added(one, caller.name)]

    def record(
        self,
        name: str,
        cluster: Cluster,
        picture: Snapshot,
        cause: str,
        topology: str,
        place: str,
        moment: Moment,
        sections: list[tuple[str, str]],
    ) -> None:
        """Keep what is known of a cluster, for the hooks."""
        from .records import cluster_record

        record = cluster_record(
            name,
            cluster,
            picture,
            "\n".join(filter(None, [cause, self.item.stash.get(VERDICT, "")])),
            topology.partition("\n")[0],
            start=self.start,
            artefacts=place,
            stacks=moment.stacks,
            sections=sections,
        )
        self.records.append(record)

    def tell_hooks(self) -> None:
        from .records import FailureRecord

        record = FailureRecord(
            self.item.nodeid, self.result.when, self.result.longreprtext, reproduce(self.item), tuple(self.records)
        )
        try:
            call_hook(self.item.ihook.pytest_cluster_failed, failure=record, item=self.item, report=self.result)
        except HookError as problem:  # the failure itself must be reported
            self.result.sections.append((f"Captured stderr cluster: hook {self.result.when}", f"{problem}\n"))


def _added(returned: Any, hook: str) -> list[tuple[str, str]]:  # noqa: ANN401 - anything
    """Return the sections that one implementation of a hook has returned, or one that says that these are none."""
    try:
        return [(str(title), cut(str(text))) for title, text in returned or ()]
    except (TypeError, ValueError):
        return [("hook", f"{hook} returned {returned!r:.200}: expected pairs of a title and a text, [('queue', '3')]")]


def _name_of(number: int) -> str:
    return "cluster" if number == 1 else f"cluster {number}"


def _forget_earlier(item: pytest.Item, result: pytest.TestReport) -> None:
    """Take out what an earlier report of this phase has said of clusters: that of another subtest."""
    said: list[tuple[str, str, str]] = item._report_sections
    said[:] = [one for one in said if one[0] != result.when or not OURS.match(one[1])]
    result.sections[:] = [one for one in result.sections if not OURS.match(one[0].removeprefix("Captured "))]


def _add(item: pytest.Item, result: pytest.TestReport, name: str, tell: Callable[[], list[ReportSection]]) -> None:
    """Add sections to the report, and to the item, from which the teardown's report, JUnit XML's source, is made."""
    try:
        sections = tell()
    except Exception as problem:  # noqa: BLE001 - the failure itself must be reported, whatever this one says
        sections = [("stderr", "report", f"the state of the cluster could not be read: {problem!r}")]
    for stream, title, text in sections:
        key, content = f"{stream} {name}: {title}", f"{text}\n"
        item.add_report_section(result.when, key, content)
        result.sections.append((f"Captured {key} {result.when}", content))


def _sections(told: _Told, cluster: Cluster, number: int, moment: Moment) -> list[ReportSection]:
    poll(lambda: not any(worker.is_ending() for worker in report.living(cluster)), scaled(SETTLE_SECONDS))
    cluster.server.settle()
    picture = report.picture_of(cluster)
    topology = report.topology(cluster, picture, _uid(told.item.config))
    part = "" if number == 1 else f".{number}"
    place, problem = _artefacts(told.item, cluster.server, [("topology", topology), *moment.stacks], part)
    happened = report.timeline(cluster.journal.entries, told.start, f"{place}/journal.jsonl" if place else "")
    cause = _cause(told, cluster, picture, moment)
    summary = _summary(told.item, cause, place, problem, cluster.used_by, _under_way(cluster, cause))
    sections = [summary, ("stdout", "topology", topology), ("stdout", "timeline", happened)]
    if not _has_stacks(told.error):
        sections += [("stdout", one, f"{one}:\n{cut(trace)}") for one, trace in moment.stacks]
    more = told.more_of(cluster)
    if told.is_wanted:
        told.record(_name_of(number), cluster, picture, cause, topology, place, moment, more)
    sections += [("stdout", title, text) for title, text in more]
    return sections + [("stderr", one, log) for one, log in report.log_sections(cluster, picture)]


def _cause(told: _Told, cluster: Cluster, picture: Snapshot, moment: Moment) -> str:
    return report.cause_of(
        cluster,
        picture,
        unanswered=_unanswered(told.error, cluster.server.pid),
        busy=moment.busy,
        compares=settings.value_of(told.item.config, "compare").value,
    )


def _sections_of_failed_server(told: _Told, server: ServerProcess, error: str, part: str) -> list[ReportSection]:
    place, problem = _artefacts(told.item, server, [("error", error)], part)
    if told.is_wanted:
        from .records import server_record

        entries, name = server.journal.entries, f"cluster{part}"
        told.records.append(server_record(name, error, server.logs, entries, start=told.start, artefacts=place))
    return [_summary(told.item, error.partition("\n")[0], place, problem)]


def _under_way(cluster: Cluster, cause: str) -> str:
    """Name the requests that the end of a failed test will cut off, unless the cause names them already."""
    if cluster.is_closed or " in flight" in cause or not any(one.requests_in_flight for one in report.living(cluster)):
        return ""
    holders = find_holders(cluster.server, report.living(cluster)).holders
    return f"under way: {holders}; the end of a failed test cuts that off" if holders else ""


def _summary(
    item: pytest.Item, cause: str, place: str, problem: str, earlier: Sequence[str] = (), under_way: str = ""
) -> ReportSection:
    lines = [
        f"cause: {cause}",
        item.stash.get(VERDICT, ""),
        under_way,
        unseen_writes(),
        report.used_before(earlier),
        problem,
    ]
    lines.append(f"artefacts: {place}" if place else "")
    lines.append(reproduce(item))
    if 0 < len(earlier) <= report.SHOWN_TESTS:
        lines.append(reproduce(item, earlier).replace("reproduce:", "reproduce with those before:", 1))
    return "stdout", "cause", "\n".join(filter(None, lines))


def _artefacts(item: pytest.Item, server: ServerProcess, extra: list[tuple[str, str]], part: str) -> tuple[str, str]:
    """Write the artefacts; return their folder, and a sentence about what went wrong."""
    from .artifacts import artifacts_folder, write_artifacts

    try:
        base = artifacts_folder(item.config)
        if base is None:
            return "", ""
        folder = write_artifacts(base, item.nodeid, server, extra, part=part)
    except OSError as problem:
        return "", f"artefacts could not be written: {problem}"
    return os.path.relpath(folder, item.config.rootpath), ""


def _uid(config: pytest.Config) -> str:
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    return f"({worker})" if worker else ""


def _unanswered(error: BaseException | None, primary_pid: int) -> Unanswered | None:
    """Return the request to this cluster that the test has failed for."""
    told = (one.unanswered for one in chain(error) if isinstance(one, WaitTimeout))
    return next((one for one in told if one is not None and one.primary_pid == primary_pid), None)


def _has_stacks(error: BaseException | None) -> bool:
    return "--- stacks of " in str(error)
