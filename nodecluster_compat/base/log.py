"""Log through any logger that has five methods: gunicorn's, or the standard library's."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Log"]


class Log(Protocol):
    """The part of a logger that the core uses; gunicorn's logger has it, the standard one too."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log ``msg % args``."""

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log ``msg % args``."""

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log ``msg % args``."""

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log ``msg % args``."""

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log ``msg % args``."""
