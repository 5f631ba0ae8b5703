"""Say what to do when a fixture of a wider scope asks for a cluster, which belongs to one test."""

from __future__ import annotations

import re

__all__ = ["explain_scope"]

MISMATCH = re.compile(
    r"ScopeMismatch: You tried to access the function scoped fixture (cluster\w*) with a (\w+) scoped"
)


def explain_scope(text: str) -> str:
    """Return a sentence to add to pytest's own; empty where it is about something else."""
    found = MISMATCH.match(text)
    if found is None:
        return ""
    name, scope = found.groups()
    return (
        f"{name} belongs to one test, so a fixture that takes it has function scope: drop scope={scope!r} there. That "
        "is quick: a cluster is used again from test to test. What is to last longer (a database) goes into a "
        "fixture of its own, which cluster_app or cluster_options may take"
    )
