"""Call back when one of some modules has been imported, by any code and from any place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["ImportsWatch"]


class ImportsWatch(MetaPathFinder):
    """Watches imports, from :meth:`begin` to :meth:`end`; finders after it find the module.

    :param names: of the modules.
    :param then: called when one of them has been executed.
    """

    def __init__(self, names: Collection[str], then: Callable[[], None]) -> None:
        self._names = names
        self._then = then

    def begin(self) -> None:
        """Watch, unless it does: a run of pytest inside this one has put the finders back that there were."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Let imports be."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how the module is loaded, with a callback after that."""
        if name not in self._names or self not in sys.meta_path:
            return None
        behind: list[Any] = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (one.find_spec(name, path, target) for one in behind if hasattr(one, "find_spec"))
        spec: ModuleSpec | None = next((one for one in found if one is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._then)
        return spec


class _Loader(Loader):
    """Loads as another does, which the module has as its loader from then on."""

    def __init__(self, loader: Any, then: Callable[[], None]) -> None:  # noqa: ANN401 - whatever a finder returns
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()
