"""Check the settings of supervision: ``cluster.setup_primary(**settings)`` in ``gunicorn.conf.py``.  Pure.

gunicorn has no settings for this and rejects unknown ones on its command line; ``setup_primary`` is Node's place
for settings of the primary, it keeps keys that it does not know, and the file is read again on HUP.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from ..base.host_port import host_port
from ..connections.policies import PolicyFactory, policy_of
from ..errors import SettingsError
from ..lifecycle.recycling import RecyclePolicy
from ..lifecycle.restarts import RestartPolicy
from ..lifecycle.steps import Bounds
from ..messages.frames import MAX_MESSAGE_BYTES
from ..routing.keys import Key
from ..routing.setting import keys_of

__all__ = ["REPLACING_SETTINGS", "SupervisionSettings"]

REPLACING_SETTINGS: Final = frozenset(
    {
        "boot_timeout", "max_surge", "max_unavailable", "max_worker_age", "max_worker_age_jitter", "max_worker_memory",
        "max_worker_memory_interval", "max_worker_memory_samples", "max_worker_requests", "max_worker_requests_jitter",
        "restart_delay", "restart_intensity", "restart_max_delay", "restart_period", "restart_stable", "watch",
    }
)  # fmt: skip
"""Those that say when a worker is replaced: of no use where a script alone forks."""

_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")  # comes back to WSGI applications as a variable
_JITTER: Final = 0.1  # of the limit, unless it is set
_SHORTEST_INTERVAL: Final = 0.01
_SMALLEST_MESSAGE: Final = 64 * 1024  # the runtime's own frames, which have paths in them, must fit as well


class SupervisionSettings(Struct, frozen=True):
    """The settings, checked.

    Attributes:
        max_surge: during a reload, workers above the number of workers: a count, or a share such as ``"25%"``.
        max_unavailable: during a reload, listening workers below it: the same.
        boot_timeout: seconds from a worker's fork until it listens; 0 for no limit, ``None`` for one in a reload alone.
        restarts: the numbers of the back-off.
        recycling: when a worker is due.
        blocked_after: seconds that a worker's loop may stand still until that is told; 0 for never.
        queue_timeout: seconds that a connection may wait for a worker in the primary; 0 for no limit.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
        request_timeout: seconds that a request may take; 0 for no limit.
        request_id_header: the name of the header that has the id of a request; ``None``: requests have no ids.
        watch: further files and folders whose change ends a pause of the back-off.
        max_message_bytes: the largest message of a worker to the primary, once encoded.
        status_file: where the status is written as JSON whenever it changes; ``None`` for nowhere.
        control_socket: the path of the control socket; ``None`` for where gunicorn's setting or the environment says.
        admin: the address where the server can be read by HTTP; ``None`` for where the environment says, if it does.
        policy: makes the policies by which connections are dealt; ``None`` for that of the environment.
        routing: the keys by which requests are routed; ``None`` for those of the environment, or of the application.
    """

    max_surge: int | str = "25%"
    max_unavailable: int | str = 0
    boot_timeout: float | None = None
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    recycling: RecyclePolicy = field(default_factory=RecyclePolicy)
    blocked_after: float = 5.0
    queue_timeout: float = 0.0
    handshake_timeout: float = 60.0
    request_timeout: float = 0.0
    watch: tuple[str, ...] = ()
    status_file: str | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    control_socket: str | None = None
    admin: str | None = None
    policy: PolicyFactory | None = None
    routing: tuple[Key, ...] | None = None
    request_id_header: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> SupervisionSettings:
        """Read the keys that concern supervision; others are ignored.

        Raises:
            SettingsError: a value that cannot be; the sentence names it.
        """
        usual = cls()
        result = cls(
            _amount(settings, "max_surge", usual.max_surge),
            _amount(settings, "max_unavailable", usual.max_unavailable),
            None if settings.get("boot_timeout") is None else _seconds(settings, "boot_timeout", 0.0),
            _restarts(settings),
            _recycling(settings),
            _seconds(settings, "blocked_after", usual.blocked_after),
            _seconds(settings, "queue_timeout", usual.queue_timeout),
            _seconds(settings, "handshake_timeout", usual.handshake_timeout),
            _seconds(settings, "request_timeout", usual.request_timeout),
            _paths(settings),
            _path_or_none(settings, "status_file"),
            _message_limit(settings),
            _path_or_none(settings, "control_socket"),
            _admin_address(settings),
            None if settings.get("policy") is None else policy_of(settings["policy"]),
            keys_of(settings.get("routing")),
            _header_name(settings),
        )
        if result.bounds(1) == Bounds(0, 0):
            raise SettingsError(
                "expected max_surge or max_unavailable to be above 0, got 0 for both: nothing could move"
            )
        return result

    def bounds(self, target: int) -> Bounds:
        """Return the counts for ``target`` workers: shares of a surge are rounded up, of a lack down."""
        surge = _resolve(self.max_surge, target, math.ceil)
        unavailable = _resolve(self.max_unavailable, target, math.floor)
        # A share that is rounded down to nothing must not stop a rollout.
        return Bounds(surge, max(unavailable, int(not surge and self.max_unavailable not in {0, "0%"})))


def _restarts(settings: Mapping[str, Any]) -> RestartPolicy:
    usual = RestartPolicy()
    return RestartPolicy(
        _seconds(settings, "restart_delay", usual.delay),
        _seconds(settings, "restart_max_delay", usual.max_delay),
        _seconds(settings, "restart_stable", usual.stable),
        _count(settings, "restart_intensity", usual.intensity),
        _seconds(settings, "restart_period", usual.period),
    )


def _recycling(settings: Mapping[str, Any]) -> RecyclePolicy:
    usual = RecyclePolicy()
    max_age = _seconds(settings, "max_worker_age", usual.max_age)
    max_requests = _count(settings, "max_worker_requests", usual.max_requests)
    policy = RecyclePolicy(
        max_age,
        _seconds(settings, "max_worker_age_jitter", max_age * _JITTER),
        _count(settings, "max_worker_memory", usual.max_memory),
        _count(settings, "max_worker_memory_samples", usual.samples),
        _seconds(settings, "max_worker_memory_interval", usual.interval),
        max_requests,
        _count(settings, "max_worker_requests_jitter", int(max_requests * _JITTER)),
    )
    if not policy.samples:
        raise SettingsError("expected max_worker_memory_samples to be 1 or more, got 0")
    if policy.interval < _SHORTEST_INTERVAL:
        raise SettingsError(
            f"expected max_worker_memory_interval to be {_SHORTEST_INTERVAL:g} s or more, got {policy.interval:g}"
        )
    return policy


def _resolve(amount: int | str, target: int, rounded: Callable[[float], int]) -> int:
    return amount if isinstance(amount, int) else int(rounded(target * int(amount[:-1]) / 100))


def _amount(settings: Mapping[str, Any], name: str, default: int | str) -> int | str:
    value = settings.get(name, default)
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdecimal() and int(value[:-1]) <= 100:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise SettingsError(f'expected {name} to be a count, 0 or more, or a share such as "25%", got {value!r}')


def _count(settings: Mapping[str, Any], name: str, default: int) -> int:
    value = settings.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise SettingsError(f"expected {name} to be a count, 0 or more, got {value!r}")


def _message_limit(settings: Mapping[str, Any]) -> int:
    value = _count(settings, "max_message_bytes", MAX_MESSAGE_BYTES)
    if not _SMALLEST_MESSAGE <= value <= MAX_MESSAGE_BYTES:
        raise SettingsError(
            f"expected max_message_bytes to be from {_SMALLEST_MESSAGE} to {MAX_MESSAGE_BYTES}, got {value}"
        )
    return value


def _seconds(settings: Mapping[str, Any], name: str, default: float) -> float:
    value = settings.get(name, default)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise SettingsError(f"expected {name} to be a number of seconds, 0 or more, got {value!r}")


def _paths(settings: Mapping[str, Any]) -> tuple[str, ...]:
    value = settings.get("watch", ())
    if isinstance(value, list | tuple) and all(map(_is_path, value)):
        return tuple(value)
    raise SettingsError(f"expected watch to be a list of paths, got {value!r}")


def _admin_address(settings: Mapping[str, Any]) -> str | None:
    value = settings.get("admin")
    if value is not None:
        try:
            host_port(value)
        except ValueError as error:
            raise SettingsError(f"expected admin to be {error}") from None
    return value


def _header_name(settings: Mapping[str, Any]) -> str | None:
    value = settings.get("request_id_header")
    if value is None:
        return None
    if isinstance(value, str) and _HEADER.fullmatch(value):
        return value
    raise SettingsError(f'expected request_id_header to be the name of a header, such as "X-Request-ID", got {value!r}')


def _path_or_none(settings: Mapping[str, Any], name: str) -> str | None:
    value = settings.get(name)
    if value is None or _is_path(value):
        return value
    raise SettingsError(f"expected {name} to be a path, got {value!r}")


def _is_path(value: object) -> bool:
    """Whether the file system can have such a path: no abstract socket, for one."""
    try:
        return isinstance(value, str) and bool(value) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
