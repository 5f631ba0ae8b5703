"""Draw what is shown, as lines for a terminal of any size.  Pure: a session in, lines out."""

from __future__ import annotations

from typing import Final

from .cells import Line, clipped, plain, wrapped
from .columns import COLUMNS, fitting, laid_out, row_of
from .head import head_of
from .session import Session

__all__ = ["frame", "page_of", "printed"]

_HELP: Final = """\
up, down, k, j    select a worker              page up, page down, home, end
< >, left, right  sort by another column       S  the other way round
t, enter          what the selected worker is doing: threads, greenlets, tasks
f                 requests in flight, with the line of code each is at
e                 how the last workers ended, and why
r                 restart the selected worker; you are asked first
space             pause, and go on
q                 quit

In a text: up, down, page up, page down; u asks anew; q or escape leads back.

Latencies are those of the last minute, as bounds: "<= 25ms" was not exceeded.
LAG is how late the loop of a worker was, at worst, within the last seconds.

Any key leads back."""

_FOOTERS: Final = {
    "workers": "q quit  ? help  < > sort  S reverse  t stacks  f requests  e exits  r restart",
    "text": "q back  u ask anew  up, down, page up, page down, home, end",
    "help": "any key leads back",
}


def frame(session: Session, width: int, height: int) -> list[Line]:
    """Return the lines of a screen, as many as it has.

    Args:
        session: what is shown.
        width: of the terminal, in cells.
        height: in lines.
    """
    if session.view == "help":
        lines = [(("bold", "nodeclusterctl top"),), (), *((("", text),) for text in _HELP.split("\n"))]
    elif session.view == "text":
        lines = _text(session, width, height)
    else:
        head = head_of(session)[: max(height - 4, 1)]
        lines = [*head, *_table(session, width, height - len(head) - 1)]
    lines = [*lines[: height - 1], *[()] * (height - 1 - len(lines)), _footer(session)]
    return [clipped(line, width) for line in lines]


def page_of(height: int) -> int:
    """Return by how many lines a page is turned."""
    return max(1, height - 4)


def printed(session: Session, width: int) -> str:
    """Return the same as text, with all workers."""
    head = head_of(session)
    lines = [*head, *_table(session, width, len(session.workers) + 1)]
    return "\n".join(plain(clipped(line, width)) for line in lines)


# --- the workers ---------------------------------------------------------------------------------------


def _table(session: Session, width: int, height: int) -> list[Line]:
    workers = session.workers
    rows = [row_of(one, session.rates) for one in workers]
    mark = "v" if session.falls else "^"
    heads = [f"{one.title}{mark if index == session.column else ''}" for index, one in enumerate(COLUMNS)]
    fit = fitting([heads, *rows], width)
    lines = [laid_out(heads, fit, {index: "bold" for index, _ in fit})]
    first = _first_shown(session, len(rows), height - 1)
    for worker, row in list(zip(workers, rows, strict=True))[first : first + max(height - 1, 0)]:
        is_selected = worker["id"] == session.selected
        style = "" if worker["health"] == "ok" else "bad"
        line = laid_out(row, fit, {2: style})
        lines.append(tuple(("inverse", text) for _, text in line) if is_selected else line)
    return lines


def _first_shown(session: Session, count: int, room: int) -> int:
    place = next((place for place, one in enumerate(session.workers) if one["id"] == session.selected), 0)
    return max(0, min(place - room // 2, count - room)) if count > room > 0 else 0


# --- text, and the line at the bottom ---------------------------------------------------------------------


def _text(session: Session, width: int, height: int) -> list[Line]:
    """Return the part of a text that fits; lines that are too long go on in the next one."""
    shown: list[Line] = []
    last = session.scroll
    for text in session.lines[session.scroll :]:
        pieces = wrapped(text, width)
        if shown and len(shown) + len(pieces) > height - 3:
            break
        shown += [(("", piece),) for piece in pieces]
        last += 1
    where = f"  (lines {session.scroll + 1} to {last} of {len(session.lines)})"
    return [(("bold", session.title), ("dim", where)), (), *shown]


def _footer(session: Session) -> Line:
    if session.view == "question":
        return (("bad", session.question),)
    if session.notice:
        return (("bold", session.notice),)
    return (("dim", _FOOTERS[session.view]),)
