"""Sort what programs print by the observer that each line names: between processes there is no order."""

from __future__ import annotations

from collections import defaultdict

__all__ = ["Trace", "traced"]

Trace = dict[str, list[str]]


def traced(output: str) -> Trace:
    """Return the lines of each observer, in order; none for an observer that said nothing."""
    trace: Trace = defaultdict(list)
    for line in output.splitlines():
        observer, _, what = line.partition(" ")
        trace[observer].append(what)
    return trace
