"""Decide what the end of a worker counts as: asked for, a fault, or killed from outside.  Pure.

The one place where this is decided, in this order:

1. It was ended for a limit that it overran: a *fault*, whatever else was asked of it meanwhile.  A worker that handles
   the master's SIGABRT may still say that it leaves, as one does that ends by its own wish.  The exception is a boot
   that was given up: it was told to end with its generation, which has its own report.
2. A signal was sent from here, or it listened and said that it leaves, or was asked to: *asked* for.
3. SIGKILL: *killed*.  No program sends itself that by accident; the kernel does, when memory is short.
4. Everything else, an exit code of 0 included, is a *fault*: nobody wanted it gone.

:func:`reason_of` says the same more finely, for people: one word that names the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.records import ExitStatus
    from .way_out import WayOut

__all__ = ["EXIT_REASONS", "Ending", "EndingKind", "ExitReason", "ending_of", "is_fault_of_script", "reason_of"]

EndingKind: TypeAlias = Literal["asked", "fault", "killed"]
ExitReason: TypeAlias = Literal[
    "asked",
    "reload",
    "recycled",
    "finished",
    "timeout",
    "boot_timeout",
    "crash",
    "killed_by_server",
    "killed_from_outside",
    "out_of_memory",
]

_CRASHES: Final = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGPIPE"})

EXIT_REASONS: Final[tuple[ExitReason, ...]] = get_args(ExitReason)


class Ending(Struct, frozen=True):
    """How a worker has ended.

    Attributes:
        kind: what it counts as.
        how: in words that continue "the worker ...".
    """

    kind: EndingKind
    how: str


def ending_of(way_out: WayOut, status: ExitStatus, *, has_listened: bool) -> Ending:
    """Decide what an end counts as.

    Args:
        way_out: how far it had come on its way out.
        status: what ``waitpid`` says.
        has_listened: whether it had ever served.
    """
    return Ending(_kind(way_out, status, has_listened), _how(way_out, status, has_listened))


def is_fault_of_script(way_out: WayOut, status: ExitStatus) -> bool:
    """Whether the end of a script's worker is a fault: there a program may end with code 0 when it has done its work.

    A signal that the script itself sends (``worker.kill()``) is asked for.
    """
    return not (way_out.is_ending or way_out.was_signalled) and status.code != 0


def reason_of(
    way_out: WayOut,
    status: ExitStatus,
    *,
    has_listened: bool,
    is_old: bool,
    is_used_up: bool,
    is_out_of_memory: Callable[[], bool],
) -> ExitReason:
    """Return why a worker has ended, for people.

    Args:
        way_out: how far it had come on its way out.
        status: what ``waitpid`` says.
        has_listened: whether it had ever served.
        is_old: whether a reload has replaced its generation, or given it up.
        is_used_up: whether it has served as many requests as ``max_requests`` says.
        is_out_of_memory: whether the kernel has just killed somebody for want of memory; asked for SIGKILL only.
    """
    if way_out.overran is not None:
        return "timeout" if has_listened else "boot_timeout"
    if status.signal == "SIGKILL":
        if way_out.was_killed:
            return "reload" if is_old and not has_listened else "killed_by_server"
        return "out_of_memory" if is_out_of_memory() else "killed_from_outside"
    if not (way_out.is_ending or way_out.was_signalled):
        return _by_itself(status)
    if way_out.was_asked:
        return "asked"
    if is_old:
        return "reload"
    return "recycled" if way_out.was_due or is_used_up else "asked"


def _by_itself(status: ExitStatus) -> ExitReason:
    if status.signal is None:
        return "crash" if status.code else "finished"
    return "crash" if status.signal in _CRASHES else "killed_from_outside"


def _kind(way_out: WayOut, status: ExitStatus, has_listened: bool) -> EndingKind:
    if way_out.overran is not None and (has_listened or not way_out.was_told):
        return "fault"
    if way_out.was_told or (way_out.is_ending and has_listened):
        return "asked"
    return "killed" if status.signal == "SIGKILL" else "fault"


def _how(way_out: WayOut, status: ExitStatus, has_listened: bool) -> str:
    if way_out.overran is not None:
        return way_out.overran
    if way_out.is_ending and not has_listened:
        return "left while booting"
    when = "after it had listened" if has_listened else "while booting"
    how = f"exited with code {status.code}" if status.signal is None else f"was ended by {status.signal}"
    return f"{how} {when}"
