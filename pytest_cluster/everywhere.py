"""One function in all workers at the same time, and whether they agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .errors import ClusterError
from .worker import WorkerProxy

__all__ = ["Result", "assert_same", "run_in", "value_in_all"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

SHOWN_CHARACTERS = 400
SHOWN_ITEMS = 5
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Result:
    """What a function returned in a worker, or what it raised there, or what kept it from being called."""

    value: Any = None
    error: Exception | None = None


def run_in(
    workers: Sequence[WorkerProxy], function: Callable[..., Any] | str, args: Sequence[Any], timeout: float | None
) -> dict[int, Result]:
    """Call *function* in each of *workers*, and return what came of it, by id."""
    if not workers:
        raise ClusterError("the cluster has no worker")

    def run(worker: WorkerProxy) -> Result:
        try:
            return Result(worker.run(function, *args, timeout=timeout))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the test's to see
            return Result(error=error)

    with ThreadPoolExecutor(len(workers)) as threads:
        return dict(zip((one.id for one in workers), threads.map(run, workers), strict=True))


def value_in_all(results: Mapping[int, Result]) -> dict[int, Any]:
    """Return the values, or raise the first error."""
    for result in results.values():
        if result.error is not None:
            raise result.error
    return {worker: result.value for worker, result in results.items()}


def assert_same(name: str, results: Mapping[int, Result]) -> Any:
    """Fail unless all results are equal, and show where they are not; return one.

    :raises Exception: what every worker has raised.
    """
    if all(result.error is not None for result in results.values()):
        value_in_all(results)
    values = [result.value for result in results.values()]
    raised = any(result.error is not None for result in results.values())
    if not raised and all(value == values[0] for value in values):
        return values[0]
    what, shown = _difference(values) if not raised else ("", [_shown(value) for value in values])
    lines = [
        f"  worker {worker}: {text if result.error is None else f'raised {_raised(result.error)}'}"
        for (worker, result), text in zip(results.items(), shown, strict=True)
    ]
    hint = [] if raised else _hint(values)
    raise AssertionError("\n".join([f"{name}() is not the same in every worker{what}:", *lines, *hint]))


def _difference(values: Sequence[Any]) -> tuple[str, list[str]]:
    """Say what of the values is shown, if not all of it, and show that of each."""
    if all(isinstance(value, Mapping) for value in values):
        return _items("", [dict(value) for value in values])
    if all(isinstance(value, list | tuple) for value in values) and len({type(value) for value in values}) == 1:
        lengths = sorted({len(value) for value in values})
        told = f" (lengths: {', '.join(map(str, lengths))})" if len(lengths) > 1 else ""
        return _items(told, [dict(enumerate(value)) for value in values])
    return "", [_shown(value) for value in values]


def _items(told: str, values: Sequence[Mapping[Hashable, Any]]) -> tuple[str, list[str]]:
    keys = list(dict.fromkeys(key for value in values for key in value))
    differing = [key for key in keys if _differs([value.get(key, _MISSING) for value in values])]
    shown = differing[:SHOWN_ITEMS]
    if len(shown) == len(keys):
        return told, [_shown(dict(value)) for value in values]
    count = f"{len(differing)} of {len(keys)} items" + (f", the first {SHOWN_ITEMS}" if differing != shown else "")
    return f"{told}, in {count}", [_shown({key: value[key] for key in shown if key in value}) for value in values]


def _differs(values: Sequence[Any]) -> bool:
    return any(value is not values[0] and value != values[0] for value in values)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _hint(values: Sequence[Any]) -> list[str]:
    """Objects that a class of its own does not compare are never equal."""
    if len({_ADDRESS.sub("", repr(value)) for value in values}) > 1:
        return []
    return ["they look the same, and are compared by identity: return plain data"]
