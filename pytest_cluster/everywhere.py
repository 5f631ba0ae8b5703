"""One function in all workers at the same time, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .errors import ClusterError
from .worker import WorkerProxy

__all__ = ["assert_same", "run_in"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


def run_in(
    workers: Sequence[WorkerProxy], function: Callable[..., Any] | str, args: Sequence[Any], timeout: float | None
) -> dict[int, Any]:
    """Return what *function* returns in each of *workers*, by id."""
    if not workers:
        raise ClusterError("the cluster has no worker")
    with ThreadPoolExecutor(len(workers)) as threads:
        tasks = {one.id: threads.submit(one.run, function, *args, timeout=timeout) for one in workers}
    return {worker: task.result() for worker, task in tasks.items()}


def assert_same(name: str, results: Mapping[int, Any]) -> Any:
    """Fail unless all results are equal; return one."""
    first = next(iter(results.values()))
    if any(result != first for result in results.values()):
        lines = "\n".join(f"  worker {worker}: {result!r}" for worker, result in results.items())
        raise AssertionError(f"{name}() is not the same in every worker:\n{lines}")
    return first
