"""The environment variables of this package: one file names all of them, and a page those that users set."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodecluster_compat.base import variables

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "nodecluster_compat"
PREFIXES = ("NODECLUSTER_", "NODE_CLUSTER_")
NAMED = {value for name, value in vars(variables).items() if name.isupper()}
OURS = {getattr(variables, name) for name in ("JOURNAL_FD", "READY_FD", "STATE", "TEST_CONTROL", "TEST_TOKEN")}


def names_in(path: Path) -> Iterator[str]:
    """The strings of a file that are names of variables."""
    text = path.read_text()
    if not any(prefix in text for prefix in PREFIXES):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and str(node.value).startswith(PREFIXES):
            yield node.value


def test_one_file_names_them() -> None:
    named = {path.relative_to(PACKAGE).as_posix(): set(names_in(path)) for path in PACKAGE.rglob("*.py")}
    assert {path: names for path, names in named.items() if names} == {"base/variables.py": NAMED}


@pytest.mark.parametrize("name", sorted(NAMED - OURS))
def test_page_of_settings_has_those_of_users(name: str) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert f"| `{name}` |" in page
