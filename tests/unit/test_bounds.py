"""No lower bound has a published advisory, or is below what gunicorn itself asks for."""

from __future__ import annotations

from bounds import TABLE, Bound, faults, lower_bounds


def test_our_bounds_are_safe() -> None:
    ours = list(lower_bounds("nodecluster-compat"))
    assert {"gunicorn", "h2", "anyio", "mkdocs", "gunicorn-h1c"} <= {name for name, _ in ours}  # extras too
    assert faults(ours, list(lower_bounds("gunicorn")), TABLE) == []


def test_low_bound_is_told() -> None:
    table = {"first_safe": {"h2": ["4.4.1", "CVE-2026-71554"], "a": ["0", ""]}, "not_in_the_index": {"a": "9"}}
    assert faults([Bound("h2", "4.10"), Bound("a", "1")], [Bound("h2", "4.4.1"), Bound("a", "9")], table) == []
    told = faults([Bound("h2", "4.4"), Bound("a", "1"), Bound("b", "1")], [Bound("a", "2")], table)
    assert told == [
        "h2>=4.4: expected >=4.4.1 (CVE-2026-71554)",
        "a>=1: gunicorn asks for >=2",
        "b>=1: look for its advisories, and add it to advisories.json",
    ]
