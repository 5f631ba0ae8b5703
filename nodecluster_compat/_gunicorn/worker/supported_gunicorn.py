"""Refuse, at start, a version of gunicorn with which a kind of worker was not tested."""

from __future__ import annotations

import gunicorn

__all__ = ["refuse_older_gunicorn"]


def refuse_older_gunicorn(kind: str, first: tuple[int, ...]) -> None:
    """Let only gunicorn ``first`` and younger ones run workers of a kind.

    Raises:
        RuntimeError: an older one runs; gunicorn prints the sentence and exits with 1.
    """
    if tuple(gunicorn.version_info) < first:
        version = ".".join(map(str, first))
        raise RuntimeError(
            f"nodecluster-compat: expected gunicorn {version} or newer for {kind}, got {gunicorn.__version__}: upgrade "
            "gunicorn, or use nodecluster_compat.Worker, which runs with this one"
        )
