"""Check what ``setup_primary()`` says about the next worker, when it is forked.

Settings that only an executable can have (``exec_argv``, ``inspect_port``, ``windows_hide``) are kept, as every unknown
key is, and mean nothing: a worker is forked from its primary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Struct

from ..errors import SettingsError
from ..messages.advanced import ADVANCED
from ..messages.serialization import JSON, Serializer

__all__ = ["SpawnSettings", "Stream", "serializer_named"]

Stream: TypeAlias = Literal["inherit", "pipe", "ignore", "ipc"] | int

_WORDS: Final = ("pipe", "ignore", "inherit", "overlapped")
_INT32: Final = 2**31


class SpawnSettings(Struct, frozen=True):
    """How one worker is started.

    Attributes:
        script: the program that it runs.
        args: what it finds in ``sys.argv`` after the script.
        cwd: where it runs; ``None``: where the primary does.
        uid, gid: who it runs as; ``None``: as the primary.
        streams: what its descriptors 0, 1, 2, … are.
        serializer: of its messages.
        serving: gunicorn's settings among the rest, by name.
    """

    script: str
    args: tuple[str, ...]
    cwd: str | None
    uid: int | None
    gid: int | None
    streams: tuple[Stream, ...]
    serializer: Serializer
    serving: Mapping[str, Any]

    @classmethod
    def checked(cls, settings: Mapping[str, Any], serving_names: frozenset[str]) -> SpawnSettings:
        """Return the settings of the next worker.

        Args:
            settings: ``cluster.settings``.
            serving_names: the names of gunicorn's settings that mean something for one worker.

        Raises:
            SettingsError: one of them cannot be; the sentence says what was expected.
        """
        script, args = settings.get("exec"), settings.get("args", ())
        if not isinstance(script, str) or not script:
            raise SettingsError(f"expected the path of a script as setting 'exec', got {script!r}")
        if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
            raise SettingsError(f"expected a list of strings as setting 'args', got {args!r}")
        return cls(
            script,
            tuple(str(arg) for arg in args),
            _cwd(settings.get("cwd")),
            _identity("uid", settings.get("uid")),
            _identity("gid", settings.get("gid")),
            _streams(settings.get("stdio"), bool(settings.get("silent"))),
            serializer_named(settings.get("serialization")),
            {name: value for name, value in settings.items() if name in serving_names},
        )

    def check_identity(self, own_uid: int, own_gid: int) -> None:
        """Refuse what the system would, as it does when Node spawns a process.

        Raises:
            PermissionError: a process of this user cannot start one of that user.
        """
        if own_uid == 0:
            return
        for name, wanted, own in (("uid", self.uid, own_uid), ("gid", self.gid, own_gid)):
            if wanted is not None and wanted != own:
                raise PermissionError(1, f"spawn EPERM: only root can start a worker with another {name} ({wanted})")


def _cwd(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise SettingsError(f"expected the path of a folder as setting 'cwd', got {value!r}")
    return value


def _identity(name: str, value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not -_INT32 <= value < _INT32):
        raise SettingsError(f"expected a number that fits 32 bits as setting {name!r}, got {value!r}")
    return value


def _streams(stdio: object, silent: bool) -> tuple[Stream, ...]:
    if stdio is None:
        stdio = "pipe" if silent else "inherit"
    if isinstance(stdio, str):
        return (_stream(stdio),) * 3
    if not isinstance(stdio, Sequence):
        raise SettingsError(f"expected a word or a list as setting 'stdio', got {stdio!r}")
    channels = [entry for entry in stdio if isinstance(entry, str) and entry == "ipc"]
    if len(channels) != 1:
        often = "among" if not channels else "only once among"
        raise SettingsError(f"expected 'ipc' {often} the entries of setting 'stdio', got {list(stdio)!r}")
    return tuple(_stream(entry) for entry in stdio)


def _stream(entry: object) -> Stream:
    if entry is None:
        return "ignore"
    if entry == "ipc" or (isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0):
        return entry if isinstance(entry, int) else "ipc"
    if hasattr(entry, "fileno"):
        return _descriptor(entry)
    if not isinstance(entry, str) or entry not in _WORDS:
        raise SettingsError(f"expected one of {', '.join(map(repr, _WORDS))} in setting 'stdio', got {entry!r}")
    return "pipe" if entry == "overlapped" else cast("Stream", entry)


def _descriptor(stream: Any) -> int:  # noqa: ANN401 - a file, a socket
    try:
        return int(stream.fileno())
    except (OSError, ValueError) as error:
        raise SettingsError(f"expected an open file in setting 'stdio', got {stream!r}: {error}") from None


def serializer_named(name: object) -> Serializer:
    """Return the serializer of a ``serialization`` setting; ``None`` means ``json``.

    Raises:
        SettingsError: there is none of that name.
    """
    if name in (None, False, "json"):
        return JSON
    if name == "advanced":
        return ADVANCED
    raise SettingsError(f"expected 'json' or 'advanced' as serialization, got {name!r}")
