"""Run script mode's worker: become the process that its settings describe, then run the script again as ``__main__``.

What serves after that, until the primary lets it go, is its :class:`~.main_greenlet.MainGreenlet`.
Signals do what they do to any program: SIGTERM kills.
"""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gevent import GreenletExit
from gunicorn.workers.base import Worker

from ... import under_test
from ...base.exit_code import exit_code_of
from ...base.native import in_force
from ...base.version import __version__
from ...gevent_runtime.forked_hub import hub_begins
from ...gevent_runtime.patching import patch_worker
from ...gevent_runtime.script import run_script
from ...gevent_runtime.signal_handlers import let_handlers_wait
from ...machine.forked_child import end_if_child
from ...machine.process_title import ProcessTitle
from ...roles.process import process
from ..arbiter import forking
from ..arbiter.current_settings import settings_in_force
from ..worker.gevent_imports import prepare_quietly
from . import config as script_config
from .ending import forget_inherited_endings
from .main_greenlet import MainGreenlet

if TYPE_CHECKING:
    from ...base.log import Log
    from ..arbiter.birth import Birth
    from ..gunicorn_types import Settings

__all__ = ["ScriptWorker"]

_DEFAULT: Final = forking.HELD_SIGNALS | {signals.SIGHUP, signals.SIGCHLD}


class ScriptWorker(Worker):  # type: ignore[misc]  # gunicorn has no type hints
    """One worker of ``nodecluster script``."""

    is_cluster_worker = True

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """In the primary, before the first fork: import what every worker needs."""
        prepare_quietly(cfg)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings_in_force()  # read before the fork: in a worker they are gone

    def init_process(self) -> None:
        """Replaces gunicorn's: there is no application to load and nothing to accept on."""
        birth = forking.this_birth()
        assert birth is not None
        self._enter(birth)
        main = MainGreenlet(birth, self.log)
        self._drop_rights()
        under_test.reach("boot")
        try:
            main.completes(self._run_script)
            while not main.completes(main.serve):
                pass  # a listener of ``process`` has said that it may go on
        except (SystemExit, GreenletExit) as error:
            end_if_child(error)
            main.ending()
            if isinstance(error, SystemExit):
                raise SystemExit(process.ended(exit_code_of(error))) from None
            raise
        birth.member.flush()
        main.tell_exit(process.exit_code or 0)
        main.ending()
        raise SystemExit(process.exit_code or 0)

    def _run_script(self) -> None:
        settings = self.app.spawn_settings
        run_script(settings.script, settings.args)
        end_if_child()
        under_test.reach("ready")

    def _drop_rights(self) -> None:
        """Become another user; only now, because that one may not be able to read where Python's own modules are."""
        settings = self.app.spawn_settings
        if settings.uid is not None or settings.gid is not None:
            with suppress(PermissionError):  # not root's to give away, as in Node
                os.setgroups([])
        if settings.gid is not None:
            os.setgid(settings.gid)
        if settings.uid is not None:
            os.setuid(settings.uid)

    def _enter(self, birth: Birth) -> None:
        """Become the process that the settings describe."""
        settings = self.app.spawn_settings
        for number in _DEFAULT:
            signals.signal(number, signals.SIG_DFL)
        forget_inherited_endings()
        # Collected, it would close its files, whose descriptors may be numbers of our streams now.
        self._script_of_primary = sys.modules["__main__"]
        self.app.streams.take()
        if settings.cwd is not None:
            os.chdir(settings.cwd)
        script_config.with_settings(self.cfg, settings.serving)
        if settings.serving:
            self.log.setup(self.cfg)
            self.log.info("nodecluster-compat %s, %s", __version__, in_force())
        script_config.set_config(self.cfg, self.log, self._settings)
        patch_worker()
        hub_begins()
        let_handlers_wait()
        ProcessTitle("nodecluster").begin(f"worker {birth.member.slot} [{settings.script}]")
        self.booted = True
