"""Choose the kind of worker that is measured, ours and stock's: the first word after ``--kind``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gunicorns import Server, Side


@dataclass(frozen=True)
class Kind:
    """A kind of worker, the stock one that it is built on, and what it is measured with."""

    ours: Side
    stock: Side
    app: str
    options: tuple[str, ...]
    many: tuple[str, ...]  # options with which one worker serves thirty at once
    most_for_connections: float  # of stock's CPU for a connection


KINDS = {
    "threads": Kind(
        Side("ours", "nodecluster_compat.ThreadWorker"),
        Side("stock", "gthread"),
        "app:app",
        ("--threads", "8"),
        ("--threads", "32"),
        1.2,
    ),
    "asgi": Kind(Side("ours", "nodecluster_compat.ASGIWorker"), Side("stock", "asgi"), "asgi_app:app", (), (), 1.5),
}
KIND = KINDS[sys.argv[sys.argv.index("--kind") + 1] if "--kind" in sys.argv[:-1] else "threads"]
OURS, STOCK = KIND.ours, KIND.stock


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    ours: str
    stock: str
    target: str
    verdict: str


def server(side: Side, workers: int, *options: str) -> Server:
    """One of the two; later options win."""
    return Server(side, workers, *KIND.options, *options, app=KIND.app)
