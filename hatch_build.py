"""Build the optional C extension with each wheel, or go on without it and say so in one line.

``NODECLUSTER_BUILD_NATIVE=0`` builds none; ``require`` makes it an error when there cannot be one, as for the wheels
that are published.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "native"))

import building

_VARIABLE: Final = "NODECLUSTER_BUILD_NATIVE"


class ExtensionHook(BuildHookInterface):  # type: ignore[type-arg]  # of any builder
    """hatchling's door for what a build adds."""

    _scratch: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Ask for what compiles it, where it is compiled."""
        return [] if self.target_name != "wheel" or _wish() == "0" else ["setuptools>=77,<85"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel is put together: compile, and add what comes of it."""
        if self.target_name != "wheel":
            return
        try:
            self._build(version == "editable", build_data)
        except (building.NotBuilt, OSError) as error:
            if _wish() == "require":
                raise
            self.app.display_warning(f"nodecluster-compat has no C extension, and Python serves: {error}")

    def _build(self, is_editable: bool, build_data: dict[str, Any]) -> None:
        if is_editable:
            (building.in_place() / building.file_name()).unlink(missing_ok=True)
        if _wish() == "0":
            raise building.NotBuilt(f"{_VARIABLE}=0")
        if _wish() not in ("", "1", "require"):
            raise building.NotBuilt(f"expected {_VARIABLE} to be 0, 1 or require, got {_wish()!r}")
        if is_editable:  # beside the modules, where Python looks: the wheel has a path to them alone
            building.build(building.in_place())
            return
        self._scratch = TemporaryDirectory()
        path = building.build(Path(self._scratch.name))
        build_data["force_include"][str(path)] = f"nodecluster_compat/{path.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Behind it: throw away what was compiled."""
        if self._scratch is not None:
            self._scratch.cleanup()


def _wish() -> str:
    return os.environ.get(_VARIABLE, "")
