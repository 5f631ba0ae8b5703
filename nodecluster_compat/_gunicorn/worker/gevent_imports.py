"""Import, in the primary of gevent workers, what each of them needs (see ``_gunicorn/arbiter/copy_on_write.py``).

Imported, not used: no hub is made and nothing is patched in the primary (``tests/integration/test_start.py``).  What is
the same in every worker is found out here as well (``gevent_runtime/patching.py``, ``head_limits.py``); a worker
that has other settings by then finds it out anew.

Rejected: patching before the fork (the primary's loop would be gevent's), and a template process that is patched and
forks the workers (what a hook does in the primary would not be seen in a worker).
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ...base.log import Log
from ...gevent_runtime.loaded_early import early_sentences
from ...gevent_runtime.patching import late_imports, prepare_patching
from ..requests.head_limits import prepare_limits

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["import_all", "prepare", "prepare_quietly"]

_FOR_WORKERS: Final = (
    "gevent.events",
    "gevent.local",
    "gevent.select",
    "gevent.selectors",
    "gevent.signal",
    "gevent.subprocess",
    "gevent.thread",
    "gevent.threading",
    "gevent.time",
    "gunicorn_h1c",
)


def prepare(cfg: Settings, log: Log) -> None:
    """Import it all, and say what was loaded too early for gevent."""
    for sentence in early_sentences():
        log.warning("%s", sentence)
    prepare_quietly(cfg)


def prepare_quietly(cfg: Settings) -> None:
    """Import it all: for workers of a script, which see by themselves to what was loaded early."""
    import_all()
    prepare_patching()
    prepare_limits(cfg)


def import_all() -> None:
    """Import what is missing, and find out nothing."""
    for name in (*_FOR_WORKERS, *late_imports()):
        with suppress(ImportError):  # the C parser is optional
            import_module(name)
