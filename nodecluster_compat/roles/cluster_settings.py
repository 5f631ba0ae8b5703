"""Hold ``cluster.settings``: a mapping that a program may change, as in Node, and that stays valid whatever it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsIndex

from .settings import SupervisionSettings

__all__ = ["ClusterSettings"]


class ClusterSettings(dict[str, Any]):
    """The settings of the next worker, and of the supervision.

    ``settings["args"] = […]`` and ``settings.args = […]`` are the same.  A change counts from the next fork on; one
    that cannot be raises :class:`~nodecluster_compat.errors.SettingsError` and changes nothing.

    Args:
        values: what they are now.
        note: told the names that a program changes.
    """

    __slots__ = ("_note", "changes")

    def __init__(self, values: Mapping[str, Any], note: Callable[[Iterable[str]], None]) -> None:
        SupervisionSettings.of(values)
        super().__init__(values)
        object.__setattr__(self, "_note", note)
        object.__setattr__(self, "changes", 0)

    def __setitem__(self, name: str, value: object) -> None:
        self._become({**self, name: value}, [name])

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of any type, as in Node
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"cluster.settings has no {name!r}: {', '.join(self) or 'nothing was set'}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __ior__(self, other: Any) -> ClusterSettings:  # type: ignore[override,misc]  # noqa: ANN401 - as dict has it
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:  # noqa: ANN401 - as object has it
        return dict, (dict(self),)

    def update(self, *more: Any, **named: Any) -> None:
        """Change several at once."""
        changed: dict[str, Any] = dict(*more, **named)
        self._become({**self, **changed}, changed)

    def setdefault(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict has it
        """Return a setting; set it first if it is not there."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:  # noqa: ANN401 - as dict has it
        """Remove a setting and return it."""
        if name not in self and default:
            return default[0]
        value = self[name]
        self._become({key: kept for key, kept in self.items() if key != name}, [name])
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last one and return it."""
        name = next(reversed(self))
        return name, self.pop(name)

    def clear(self) -> None:
        """Remove all."""
        self._become({}, list(self))

    def _become(self, values: dict[str, Any], changed: Iterable[str]) -> None:
        SupervisionSettings.of(values)
        super().clear()
        super().update(values)
        object.__setattr__(self, "changes", self.changes + 1)
        self._note(changed)
