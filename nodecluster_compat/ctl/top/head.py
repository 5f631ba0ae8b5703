"""Say how the whole server is, in the lines above its workers.  Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..tables import reload_text, seconds, size
from .cells import Line, harmless
from .columns import percent, rate
from .rates import DurationWindow, Rates
from .session import Session

__all__ = ["head_of"]

_STYLES: Final = {"running": "good", "degraded": "bad"}
_UNKNOWN: Final = "-"
_SHARES: Final = (0.5, 0.95, 0.99)

Status = Mapping[str, Any]


def head_of(session: Session) -> list[Line]:
    """Return the lines; the last one has what somebody should know at once, if there is something."""
    status, rates = session.status, session.rates
    if status is None:
        return [(("bold", "nodeclusterctl top"),), _trouble(session)]
    facts = (
        ("Workers", _workers(status)),
        ("Requests", _requests(status, rates)),
        ("Latency", _latency(rates.durations)),
        ("Waiting", _waiting(status)),
        ("Usage", _usage(status, rates)),
        ("Reloads", _reloads(status)),
        ("Ended", _endings(status)),
    )
    lines = ((("dim", f"{title:<9}"), ("", text)) for title, text in facts)
    return [_first(status, is_paused=session.is_paused), *lines, _trouble(session)]


def _first(status: Status, *, is_paused: bool) -> Line:
    about = f"{harmless(status['mode'])} mode, pid {status['pid']}, up {seconds(status['uptime'])}"
    return (
        ("bold", f"{harmless(status['hostname'])}: "),
        (_STYLES.get(status["state"], "poor"), harmless(status["state"])),
        ("", f"  {about}, at {harmless(status['now'])[11:19]} UTC"),
        ("bold", "  PAUSED" if is_paused else ""),
    )


def _workers(status: Status) -> str:
    moving = f"{status['booting']} booting, {status['ending']} ending"
    return f"{status['listening']} of {status['target']} listen, {moving}, generation {status['generation']}"


def _requests(status: Status, rates: Rates) -> str:
    workers = status["workers"]
    active = sum(one["active_requests"] or 0 for one in workers)
    oldest = max((one["oldest_request_seconds"] or 0.0 for one in workers), default=0.0)
    since = f", the oldest for {seconds(oldest)}" if oldest else ""
    done = f"{_known(rate, rates.requests)}/s, 5xx {_known(rate, rates.failed)}/s"
    return f"{done}; {active} in flight{since}; {_known(str, status['totals']['requests'])} in all"


def _latency(window: DurationWindow | None) -> str:
    if window is None:
        return _UNKNOWN
    if window.mean is None:
        return "no request within the last minute"
    told = (f"p{share * 100:g} {_bound(window.quantile(share), window.bounds)}" for share in _SHARES)
    return f"{', '.join(told)}, mean {_short(window.mean)} (last minute)"


def _bound(value: float | None, bounds: Sequence[float]) -> str:
    if value is None:
        return _UNKNOWN
    return f"> {_short(bounds[-1])}" if math.isinf(value) else f"<= {_short(value)}"


def _short(value: float) -> str:
    return f"{value * 1000:.3g}ms" if value < 1 else f"{value:.3g}s"


def _waiting(status: Status) -> str:
    queue = status["queue"]
    known = [one for one in status["listeners"] if one["backlog"] is not None]
    waits, room = (sum(one[key] for one in known) for key in ("backlog", "backlog_limit"))
    kernel = f", {waits} of {room} in the kernel" if known else ""
    return f"{queue['waiting']} in the server{kernel}; {queue['left']} left, {queue['overdue']} overdue"


def _usage(status: Status, rates: Rates) -> str:
    known = [one["rss_bytes"] for one in status["workers"] if one["rss_bytes"] is not None]
    lag = max((one["lag"] for one in status["workers"]), default=0.0)
    memory = size(sum(known)) if known else _UNKNOWN
    return f"memory {memory}, CPU {_known(percent, rates.cpu)} of a core, worst lag {seconds(lag)}"


def _reloads(status: Status) -> str:
    last = status["reload"]
    upgrade = f"; upgrade {harmless(status['upgrade'])}" if status["upgrade"] else ""
    return f"{'none' if last is None else harmless(reload_text(last))}{upgrade}"


def _endings(status: Status) -> str:
    ended = ", ".join(f"{count} {harmless(reason)}" for reason, count in status["totals"]["exits"].items() if count)
    return f"{ended or 'none'}; {status['totals']['spawned']} started"


def _trouble(session: Session) -> Line:
    """Return the one thing that somebody should know, if there is one."""
    if session.trouble is not None:
        return (("bad", session.trouble),)
    status = session.status
    if status is None:
        return ()
    if status["state"] == "degraded":
        after = "" if status["next_attempt_in"] is None else f"; next attempt in {seconds(status['next_attempt_in'])}"
        return (("bad", f"workers keep failing{after}: the last one {harmless(status['last_fault'] or '')}"),)
    ill = [f"worker {one['slot']} is {harmless(one['health'])}" for one in status["workers"] if one["health"] != "ok"]
    return (("bad", ", ".join(ill)),) if ill else ()


def _known(tell: Callable[[float], str], value: float | None) -> str:
    return _UNKNOWN if value is None else tell(value)
