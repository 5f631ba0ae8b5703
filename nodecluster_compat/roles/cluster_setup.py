"""Give ``cluster`` its settings and its scheduling policy: ``setup_primary``, ``settings``, ``scheduling_policy``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..base.emitter import Emitter
from ..base.handler_calls import Origin, current_origin
from ..base.variables import SCHED_POLICY
from ..errors import ArgumentTypeError, SettingsError
from .cluster_settings import ClusterSettings

if TYPE_CHECKING:
    from .primary import Primary

__all__ = ["SCHED_NONE", "SCHED_RR", "ClusterSetup"]

SCHED_NONE: Final = 1
SCHED_RR: Final = 2


class ClusterSetup(Emitter):
    """The members of ``cluster`` that say how workers are run, and who deals connections.

    Attributes:
        script: the whole path of the program that this process runs, if ``nodecluster`` does; what workers run, too.
    """

    SCHED_NONE = SCHED_NONE
    SCHED_RR = SCHED_RR

    _primary: Primary | None

    def __init__(self) -> None:
        super().__init__()
        self._settings = ClusterSettings({}, self._note_settings)
        self._setting_origins: dict[str, Origin] = {}
        self._read_environment()
        self._frozen_policy: int | None = None
        self.script: str | None = None

    def _read_environment(self) -> None:
        """Take the policy from the environment: when this module is imported, and in a process that is forked then."""
        asked = {"none": SCHED_NONE, "rr": SCHED_RR}.get(os.environ.get(SCHED_POLICY, ""))
        self._policy: object = asked or SCHED_RR
        self._policy_asked = asked is not None

    @property
    def settings(self) -> ClusterSettings:
        """The settings; empty before the first :meth:`setup_primary` or :meth:`fork`, replaced by each.

        A program may change them, or set others in their place, without :meth:`setup_primary`: no ``setup`` follows.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: Mapping[str, Any]) -> None:
        if not isinstance(settings, Mapping):
            raise ArgumentTypeError(f"expected a mapping as cluster.settings, got {settings!r}")
        self._settings = ClusterSettings(settings, self._note_settings)
        self._note_settings(settings)

    @property
    def scheduling_policy(self) -> object:
        """``SCHED_RR`` or ``SCHED_NONE``; what it is at the first ``setup_primary()`` or ``fork()`` counts."""
        return self._policy

    @scheduling_policy.setter
    def scheduling_policy(self, policy: int) -> None:
        self._policy = policy
        self._policy_asked = True

    @property
    def asks_for_round_robin(self) -> bool:
        """Whether somebody asked for round robin, rather than left the default alone."""
        return self._policy_asked and self._policy == SCHED_RR

    def setup_primary(self, options: Mapping[str, Any] | None = None, /, **settings: Any) -> None:
        """Merge ``settings`` into :attr:`settings`; ``setup`` follows with this call's snapshot.

        Cumulative, unknown keys are kept, as in Node.  The keys that concern reloads and
        restarts are :class:`~nodecluster_compat.roles.settings.SupervisionSettings`'.

        Args:
            options: settings as a mapping, as in Node.
            settings: the same as keywords, which is more usual here.

        Raises:
            SettingsError: ``scheduling_policy`` is neither ``SCHED_RR`` nor ``SCHED_NONE``, or one of those keys has
                a value that cannot be, or no effect in script mode; nothing is changed.
        """
        if not isinstance(options, Mapping | None):
            raise ArgumentTypeError(f"expected settings as keywords or as a mapping, got {options!r}")
        settings = {**(options or {}), **settings}
        self.freeze_policy()
        if self._primary is not None:
            self._primary.check_settings(settings)
        defaults = {"exec": self.script or sys.argv[0], "args": sys.argv[1:], "silent": False}
        snapshot = ClusterSettings({**defaults, **self._settings, **settings}, self._note_settings)
        self._settings = snapshot
        self._note_settings(settings)
        self._with_primary(lambda primary: primary.loop.call_soon(self.emit, "setup", snapshot))

    setup_master = setup_primary

    def freeze_policy(self) -> int:
        """Return the policy; from the first call on it no longer changes.

        Raises:
            SettingsError: it is neither ``SCHED_RR`` nor ``SCHED_NONE``.
        """
        if self._frozen_policy is None:
            if self._policy not in (SCHED_NONE, SCHED_RR):
                raise SettingsError(
                    "expected cluster.scheduling_policy to be cluster.SCHED_RR (2) or cluster.SCHED_NONE (1), "
                    f"got {self._policy!r}"
                )
            self._frozen_policy = SCHED_NONE if self._policy == SCHED_NONE else SCHED_RR
        return self._frozen_policy

    # --- a configuration that is read again ----------------------------------------------------

    def _forget_settings(self, origin: Origin) -> None:
        """Forget what was set there."""
        kept = {name: value for name, value in self._settings.items() if self._setting_origins.get(name) != origin}
        self._settings = ClusterSettings(kept, self._note_settings)

    def _note_settings(self, names: Iterable[str]) -> None:
        self._setting_origins |= dict.fromkeys(names, current_origin())

    def _with_primary(self, call: Callable[[Primary], Any]) -> None:
        """Call ``call`` with the primary, now or once it runs."""
        raise NotImplementedError
