"""Load the configuration, and put the former one back: a reload applies all of a new one, or nothing.

gunicorn's ``Application.reload`` replaces the configuration before it knows that the new one loads, and its way
of saying that it does not is ``sys.exit``.  A :class:`Savepoint` holds everything that loading touches: the
application object, the arbiter's copies, the environment, the path, the working directory, the listeners, the
pid file, and what the file registered on ``cluster``.

What a configuration file does to the outside world cannot be taken back.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from gunicorn import util
from gunicorn.pidfile import Pidfile

from ...errors import ConfigurationNotLoaded, SettingsError
from ...roles.cluster import cluster
from .copy_on_write import is_of_ours, prepare_for_workers
from .dealing_settings import check_dealing
from .listening_sockets import drop_listeners, replace_listeners

if TYPE_CHECKING:
    from types import ModuleType

    from ...base.records import ServedAddress
    from ...operations.log_writer import LogWriter
    from ..gunicorn_types import ListeningSocket, Settings
    from .listening_sockets import BindingSeat
    from .log_probe import LogProbe

__all__ = ["CONFIG_MODULE", "ConfiguredSeat", "Savepoint", "config_module", "load"]

CONFIG_MODULE: Final = "__config__"
"""The name under which gunicorn executes ``gunicorn.conf.py``, again on every HUP."""

_MODULE_PREFIX: Final = "python:"

_ARBITERS: Final = ("app", "cfg", "worker_class", "address", "timeout", "proc_name", "LISTENERS", "served", "pidfile")


if TYPE_CHECKING:

    class ConfiguredSeat(BindingSeat, Protocol):
        """The arbiter, which can be configured anew.

        Attributes:
            app: gunicorn's application object.
            proc_name: how the process is to be called.
            pidfile: gunicorn's object, if there is to be such a file.
            worker_class: the kind of worker that is started from now on.
            log_writer: writes the log.
            log_probe: knows whether a log can be opened.
        """

        app: Any
        proc_name: str
        pidfile: Any
        worker_class: Any
        log_writer: LogWriter
        log_probe: LogProbe

        def setup(self, app: object) -> None:
            """Take the settings of the application; gunicorn's."""


class Savepoint:
    """The configuration in force, before another one is loaded.  Made, it takes the file's handlers out of use."""

    def __init__(self, arbiter: ConfiguredSeat) -> None:
        self._arbiter = arbiter
        self._app = dict(arbiter.app.__dict__)
        self._own = {name: getattr(arbiter, name) for name in _ARBITERS}
        self.num_workers = arbiter.num_workers
        self._module_name = config_module(arbiter.cfg)
        self._module = sys.modules.get(self._module_name)
        self._environment = dict(os.environ)
        self._path = list(sys.path)
        self._folder = os.getcwd()
        self._settings = cluster.settings
        # Executing the file again registers its handlers again: they are replaced, not doubled.
        self._forgotten = arbiter.primary.forget(self._module_name)

    @property
    def worker_class(self) -> object:
        """The kind of worker of this configuration."""
        return self._own["worker_class"]

    @property
    def listeners(self) -> list[ListeningSocket]:
        """The listening sockets of this configuration."""
        return list(self._own["LISTENERS"])

    @property
    def served(self) -> list[ServedAddress]:
        """How the primary serves them."""
        return list(self._own["served"])

    def restore(self) -> None:
        """Put everything back as it was."""
        arbiter = self._arbiter
        cluster.undo_load(self._settings)
        arbiter.primary.recall(self._forgotten)
        drop_listeners(arbiter, self.listeners, self.served)
        if arbiter.pidfile is not self._own["pidfile"]:
            _swap_pidfile(arbiter, arbiter.pidfile, self._own["pidfile"])
        app: dict[str, Any] = arbiter.app.__dict__
        app.clear()
        app.update(self._app)
        for name, value in self._own.items():
            setattr(arbiter, name, value)
        for one in self.served:
            arbiter.primary.dealer.serve_again(one.listener_id)
        self._restore_process()
        self._restore_rest()

    def _restore_process(self) -> None:
        if self._module is not None:
            _put_module(self._module_name, self._module)
        os.environ.clear()
        os.environ.update(self._environment)
        sys.path[:] = self._path
        with suppress(OSError):  # it has been removed meanwhile
            os.chdir(self._folder)

    def _restore_rest(self) -> None:
        arbiter = self._arbiter
        for restore in (self._restore_number, self._restore_log):
            try:
                restore()
            except Exception:
                arbiter.log.exception("Putting the former configuration back is incomplete")
        arbiter.primary.grace = arbiter.cfg.graceful_timeout
        util._setproctitle(f"master [{arbiter.proc_name}]")

    def _restore_number(self) -> None:
        if self._arbiter.num_workers != self.num_workers:
            self._arbiter.num_workers = self.num_workers  # calls a hook

    def _restore_log(self) -> None:
        arbiter = self._arbiter
        if getattr(arbiter.log, "cfg", None) is not arbiter.cfg:
            with arbiter.log_probe.opened(arbiter.cfg):
                arbiter.log.setup(arbiter.cfg)
            arbiter.log_writer.follow()


def load(arbiter: ConfiguredSeat) -> Savepoint:
    """Load the configuration and apply it; return how to put the former one back.

    The former listeners stay open: the former workers serve them.

    Raises:
        ConfigurationNotLoaded: it cannot be used; the former one is in force.
    """
    savepoint = Savepoint(arbiter)
    cluster.begin_load(config_module(arbiter.cfg))
    try:
        _load(arbiter, savepoint)
    except (Exception, SystemExit) as error:
        if not isinstance(error, SystemExit):
            arbiter.log.exception("The configuration could not be applied")
        savepoint.restore()
        raise ConfigurationNotLoaded(_reason(error)) from error
    cluster.end_load()
    return savepoint


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):  # gunicorn has printed the traceback
        return "the configuration did not load, see the lines above"
    return f"the configuration could not be applied: {type(error).__name__}: {error}"


def _load(arbiter: ConfiguredSeat, former: Savepoint) -> None:
    old_cfg, old_address = arbiter.cfg, arbiter.cfg.address
    _restore_environment(arbiter)
    _forget_module(config_module(old_cfg))
    arbiter.app.reload()
    with arbiter.log_probe.opened(arbiter.app.cfg):
        arbiter.setup(arbiter.app)
    _prepare_worker_class(arbiter, former)
    check_dealing()  # in the environment that the configuration makes
    arbiter.log_writer.follow()
    arbiter.log_writer.call(arbiter.log.reopen_files)
    if old_address != arbiter.cfg.address:
        replace_listeners(arbiter, former.listeners, former.served, old_address)
    arbiter.cfg.on_reload(arbiter)
    _replace_pidfile(arbiter, old_cfg)
    util._setproctitle(f"master [{arbiter.proc_name}]")
    arbiter.primary.grace = arbiter.cfg.graceful_timeout


def _prepare_worker_class(arbiter: ConfiguredSeat, former: Savepoint) -> None:
    """Import what workers of a class need that is new here.

    Raises:
        SettingsError: there is no such class.
    """
    if isinstance(arbiter.worker_class, str):  # gunicorn leaves the name where the module has no such class
        name = arbiter.worker_class
        raise SettingsError(f"expected worker_class to name a class, got {name!r}, which does not exist")
    if arbiter.worker_class is not former.worker_class and is_of_ours(arbiter.worker_class):
        prepare_for_workers(arbiter.worker_class, arbiter.cfg, arbiter.log)


def config_module(cfg: Settings) -> str:
    """Return the name of the module that the configuration is: of a file's, or the one of ``-c python:module``."""
    location = str(cfg.config or "")
    return location[len(_MODULE_PREFIX) :] if location.startswith(_MODULE_PREFIX) else CONFIG_MODULE


def _forget_module(name: str) -> None:
    """Let ``-c python:module`` be executed again: gunicorn imports it, and Python would have it still.

    Its compiled file goes, too: Python takes that for new when source of the same length was changed within a second.
    """
    module = None if name in {CONFIG_MODULE, "__main__"} else sys.modules.pop(name, None)
    compiled = getattr(module, "__cached__", None)
    if compiled is not None:
        with suppress(OSError):
            os.unlink(compiled)
    importlib.invalidate_caches()


def _put_module(name: str, module: ModuleType) -> None:
    """Put a module back where it was, in its package too."""
    sys.modules[name] = module
    package, _, own_name = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], own_name, module)


def _restore_environment(arbiter: ConfiguredSeat) -> None:
    for name in arbiter.cfg.env:
        if name in arbiter.cfg.env_orig:
            os.environ[name] = arbiter.cfg.env_orig[name]
        else:
            os.environ.pop(name, None)


# --- the pid file ------------------------------------------------------------------------------


def _replace_pidfile(arbiter: ConfiguredSeat, old_cfg: Settings) -> None:
    """Write the pid file where the configuration has it now; also if somebody has removed it."""
    if arbiter.cfg.pidfile != old_cfg.pidfile or (arbiter.pidfile and not os.path.exists(arbiter.pidfile.fname)):
        new = None if arbiter.cfg.pidfile is None else Pidfile(arbiter.cfg.pidfile)
        _swap_pidfile(arbiter, arbiter.pidfile, new)


def _swap_pidfile(arbiter: ConfiguredSeat, old: Pidfile | None, new: Pidfile | None) -> None:
    if new is not None:
        new.create(arbiter.pid)  # first, because it may fail
    if old is not None and (new is None or new.fname != old.fname):
        old.unlink()
    arbiter.pidfile = new
