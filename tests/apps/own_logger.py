"""A logger of a user's own: the setting ``logger_class``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger


class OwnLogger(Logger):  # type: ignore[misc]  # gunicorn has no type hints
    """Adds an atom, counts its requests, says when it reopens its files."""

    requests = 0

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        return {**super().atoms(resp, req, environ, request_time), "own": f"request-{self.requests}"}

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        type(self).requests += 1
        super().access(resp, req, environ, request_time)

    def reopen_files(self) -> None:
        super().reopen_files()
        self.info("files were reopened")
