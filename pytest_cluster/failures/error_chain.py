"""Walk an error, its causes and the members of its groups, to find a time-out among them."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["chain", "is_timeout"]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, its causes, and the members of a group, each once."""
    found = [] if error is None else [error]
    for one in found:
        yield one
        for other in (one.__cause__, one.__context__, *getattr(one, "exceptions", ())):
            if other is not None and not any(other is seen for seen in found):
                found.append(other)


def is_timeout(error: BaseException) -> bool:
    """By name: those of ``concurrent.futures`` and of HTTP clients are no ``TimeoutError`` everywhere."""
    return "Timeout" in str(error)[:100] or any("timeout" in kind.__name__.lower() for kind in type(error).__mro__)
