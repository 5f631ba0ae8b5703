"""Call one function in all workers at the same time, and compare the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import ClusterError
from ..values import Pickled
from .worker import WorkerProxy

__all__ = ["Result", "assert_same", "run_in", "value_in_all"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

SHOWN_CHARACTERS = 400
SHOWN_BEFORE = 40
"""Characters that lead to the first difference of long results."""
SHOWN_ITEMS = 5
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a function in a worker: its value, or its error."""

    value: Pickled = None
    error: Exception | None = None


def run_in(
    workers: Sequence[WorkerProxy], function: Callable[..., object] | str, args: Sequence[object], timeout: float | None
) -> dict[int, Result]:
    """Call *function* in each of *workers*, and return what came of it, by id.

    :raises ClusterError: one of them could not be asked, did not answer, or has an answer that cannot be brought over.
    """
    if not workers:
        raise ClusterError("the cluster has no worker")

    def run(worker: WorkerProxy) -> Result:
        try:
            return Result(worker.run(function, *args, timeout=timeout))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the test's to see
            return Result(error=error)

    with ThreadPoolExecutor(len(workers)) as threads:
        results = dict(zip((one.id for one in workers), threads.map(run, workers), strict=True))
    for result in results.values():
        if isinstance(result.error, ClusterError):
            raise result.error
    return results


def value_in_all(results: Mapping[int, Result]) -> dict[int, Pickled]:
    """Return the values, or raise the first error."""
    for result in results.values():
        if result.error is not None:
            raise result.error
    return {worker: result.value for worker, result in results.items()}


def assert_same(name: str, results: Mapping[int, Result]) -> Pickled:
    """Fail unless all results are equal, and show where they are not; return one.

    :raises Exception: what every worker has raised.
    """
    errors = [result.error for result in results.values() if result.error is not None]
    if len(errors) == len(results):
        raise errors[0]
    values = [result.value for result in results.values() if result.error is None]
    if not errors and not _differ(name, values):
        return values[0]
    what, shown = _difference(name, values) if not errors else ("", _cut(list(map(repr, values))))
    texts = iter(shown)
    lines = [
        f"  worker {worker}: {next(texts) if result.error is None else f'raised {_short(result.error)}'}"
        for worker, result in results.items()
    ]
    hint = [] if errors else _hint(values)
    told = "\n".join([f"{name}() is not the same in every worker{what}:", *lines, *hint])
    raise AssertionError(told) from (errors[0] if errors else None)


def _differ(name: str, values: Sequence[object]) -> bool:
    """Whether one is not as the first.

    :raises AssertionError: they cannot be compared.
    """
    try:
        return any(value is not values[0] and value != values[0] for value in values)
    except Exception as error:
        what = f"{type(values[0]).__name__} objects that cannot be compared ({error})"
        raise AssertionError(f"{name}() returned {what}: return plain data") from error


def _difference(name: str, values: Sequence[Pickled]) -> tuple[str, list[str]]:
    """Say what part of the values is shown, and show that part of each."""
    if all(isinstance(value, Mapping) for value in values):
        parts, form = [dict(value) for value in values], "{!r}: {!r}"
    elif all(type(value) is list for value in values) or all(type(value) is tuple for value in values):
        parts, form = [dict(enumerate(value)) for value in values], "[{}]: {!r}"
    else:
        return "", _cut(list(map(repr, values)))
    keys = list(dict.fromkeys(key for part in parts for key in part))
    differing = [key for key in keys if _differ(name, [part.get(key, _MISSING) for part in parts])]
    if len(differing) in (0, len(keys)):
        return "", _cut(list(map(repr, values)))
    shown = differing[:SHOWN_ITEMS]
    texts = [", ".join(form.format(key, part[key]) for key in shown if key in part) or "none of them" for part in parts]
    count = f"{len(differing)} of {len(keys)} items"
    return f", in {count}" + (f", the first {SHOWN_ITEMS}" if differing != shown else ""), _cut(texts)


def _cut(texts: Sequence[str]) -> list[str]:
    """Cut long texts to the part around the first difference."""
    if max(map(len, texts)) <= SHOWN_CHARACTERS:
        return list(texts)
    alike = next((place for place, those in enumerate(zip(*texts, strict=False)) if len(set(those)) > 1), 0)
    begin = max(0, alike - SHOWN_BEFORE)
    return [_part(text, begin) for text in texts]


def _part(text: str, begin: int) -> str:
    part = text[begin : begin + SHOWN_CHARACTERS]
    return ("…" if begin else "") + part + (f"… ({len(text)} characters)" if begin + len(part) < len(text) else "")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _hint(values: Sequence[object]) -> list[str]:
    if len({_ADDRESS.sub("", repr(value)) for value in values}) > 1:
        return []
    return ["they look the same, and do not compare equal (a class without __eq__, NaN): return plain data that does"]
