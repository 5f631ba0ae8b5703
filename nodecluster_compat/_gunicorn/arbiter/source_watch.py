"""Watch the application's files while workers fail, so that a corrected file is tried at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ...machine.sources import Fingerprint, fingerprint, sources_of

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ..gunicorn_types import Settings

__all__ = ["SourceWatch", "application_sources"]

_SAMPLE_SECONDS: Final = 0.25
_FIRST_RETRY_PAUSE: Final = 0.5
_LONGEST_RETRY_PAUSE: Final = 30.0


def application_sources(app: object, cfg: Settings, watch: Sequence[str]) -> Fingerprint:
    """Return how the files are from which a worker of this application would boot.

    Args:
        app: gunicorn's application object.
        cfg: its settings.
        watch: further files.
    """
    uri = getattr(app, "app_uri", None) or ""
    config = [] if cfg.config is None else [str(cfg.config).removeprefix("file:")]
    return fingerprint(sources_of(uri, cfg.chdir, [*config, *cfg.reload_extra_files, *watch]))


class SourceWatch:
    """Watches as long as it is needed.

    Args:
        loop: the arbiter's.
        sample: called with a word for what it is for, and with a function that is to be told how the files are, later
            and on this thread.  A disk may take its time.
        is_needed: whether workers still fail.
        on_change: called when the files have changed and are at rest.
    """

    def __init__(
        self,
        loop: Loop,
        sample: Callable[[str, Callable[[Fingerprint], None]], None],
        is_needed: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sample_sources = sample
        self._is_watching = False
        self._is_needed = is_needed
        self._on_change = on_change
        self._seen: Fingerprint | None = None  # the sources, as the last workers found them
        self._changed: Fingerprint | None = None  # as the last sample found them, when that differs
        self._retry_pause = _FIRST_RETRY_PAUSE
        self._no_retry_before = 0.0

    def begin(self) -> None:
        """A worker has failed: watch from now on, unless it is so already."""
        if not self._is_watching:
            self._is_watching = True
            self._seen = self._changed = None
            self.note()
            self._loop.call_later(_SAMPLE_SECONDS, self._sample)

    def note(self) -> None:
        """Workers are about to start, and find the sources as they are now."""
        self._sample_sources("note", self._noted)

    def _noted(self, found: Fingerprint) -> None:
        self._seen = found

    def _sample(self) -> None:
        if not self._is_needed():
            self._is_watching, self._retry_pause = False, _FIRST_RETRY_PAUSE
            return
        self._loop.call_later(_SAMPLE_SECONDS, self._sample)
        self._sample_sources("sample", self._sampled)

    def _sampled(self, found: Fingerprint) -> None:
        if not self._is_watching or self._seen is None:
            return
        settled, self._changed = found == self._changed, found
        if found != self._seen and settled:
            self._tell_change(found)

    def _tell_change(self, found: Fingerprint) -> None:
        """Try at once, and less and less willingly: workers that write their own sources must not drive this.

        The watch goes on: what is tried now may fail again.
        """
        now = time.monotonic()
        if now < self._no_retry_before:
            return
        self._no_retry_before = now + self._retry_pause
        self._retry_pause = min(self._retry_pause * 2, _LONGEST_RETRY_PAUSE)
        self._seen = found
        self._on_change()
