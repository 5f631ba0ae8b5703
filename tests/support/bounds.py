"""Check that no lower bound of a dependency has a published advisory, or is below what gunicorn itself asks for.

Run as a program it also asks the index, by ``pip-audit`` if that is installed beside it, and whether a version that
gunicorn asks for, and the index did not have when ``advisories.json`` was written, is there now.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["Bound", "faults", "lower_bounds"]

TABLE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("advisories.json").read_text())


class Bound(NamedTuple):
    """The oldest version of a package that is allowed."""

    name: str
    version: str


def lower_bounds(distribution: str) -> Iterator[Bound]:
    """Yield what an installed distribution asks for, its extras included."""
    for line in requires(distribution) or ():
        requirement = Requirement(line)
        floors = [spec.version for spec in requirement.specifier if spec.operator in (">=", "==", "~=")]
        yield Bound(canonicalize_name(requirement.name), max(floors, key=Version, default="0"))


def faults(ours: list[Bound], gunicorns: list[Bound], table: dict[str, Any]) -> list[str]:
    """Return a sentence for each bound that is too low, by a table of advisories and by gunicorn's own bounds."""
    told = []
    asked = {name: version for name, version in gunicorns if table["not_in_the_index"].get(name) != version}
    for name, version in ours:
        first_safe, why = table["first_safe"].get(name, (None, ""))
        if first_safe is None:
            told.append(f"{name}>={version}: look for its advisories, and add it to advisories.json")
        elif Version(version) < Version(first_safe):
            told.append(f"{name}>={version}: expected >={first_safe} ({why})")
        if Version(version) < Version(asked.get(name, "0")):
            told.append(f"{name}>={version}: gunicorn asks for >={asked[name]}")
    return told


def _arrived() -> Iterator[str]:
    """What the index has by now of that which it did not have."""
    for name, version in TABLE["not_in_the_index"].items():
        command = [sys.executable, "-m", "pip", "index", "versions", name]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if version in said.replace(",", " ").split():
            yield f"{name} {version} is in the index now: raise the bound, and remove it from advisories.json"


def _published(pip_audit: str, bounds: list[Bound]) -> Iterator[str]:
    """What the index knows against the lower bounds; it need not tell anything."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write("".join(f"{name}=={version}\n" for name, version in sorted(set(bounds)) if version != "0"))
        pinned.flush()
        command = [pip_audit, "-r", pinned.name, "--no-deps", "--disable-pip", "-s", "pypi", "-f", "json"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    try:
        answers = json.loads(said)["dependencies"]
    except ValueError:
        answers = []
    asked = [answer for answer in answers if "vulns" in answer]
    print(f"pip-audit told of {len(asked)} packages; of the others advisories.json does, of {TABLE['read']}")
    for answer in asked:
        for advisory in answer["vulns"]:
            yield f"{answer['name']}=={answer['version']}: {advisory['id']}, mended in {advisory['fix_versions']}"


def main(pip_audit: str | None = None) -> int:
    """Print what is wrong; the exit code says whether anything is."""
    ours = list(lower_bounds("nodecluster-compat"))
    told = faults(ours, list(lower_bounds("gunicorn")), TABLE)
    told += _arrived()
    if pip_audit:
        told += _published(pip_audit, ours)
    for sentence in told:
        print(sentence)
    return bool(told)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
