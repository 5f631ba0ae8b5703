"""What the docstrings of the packages say of their files is so: a newcomer begins there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("nodecluster_compat", "pytest_cluster")
NAME = re.compile(r"``([a-z_][a-z0-9_/]*)``")
CITED = re.compile(r"\b(?:docs|native|nodecluster_compat|pytest_cluster)/[\w/]+\.(?:md|c|h|py)\b")
STANDARD = re.compile(r"RFC \d+|proxy-protocol\.txt")
IMPURE = frozenset(
    {"_socket", "gevent", "gunicorn", "multiprocessing", "os", "select", "selectors", "signal", "socket", "subprocess"}
    | {"threading", "time"}
)


def docstring_of(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def maps() -> dict[str, str]:
    """The packages that say where what is, by name."""
    found = {path: docstring_of(path) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    return {str(path.parent.relative_to(ROOT)): text for path, text in found.items() if "\n* " in text}


def is_there(folder: str, name: str) -> bool:
    """Whether a name means a file or a folder: of this package, of the next one, of any below the first."""
    here = ROOT / folder
    above = [here, here.parent, ROOT / folder.partition("/")[0]]
    return any((one / name).is_dir() or (one / f"{name}.py").is_file() for one in above)


@pytest.mark.parametrize("folder", sorted(maps()))
def test_files_that_a_package_names_exist(folder: str) -> None:
    """Each word in double quotation marks on a line of the list, unless it is code of another kind."""
    listed = NAME.findall(maps()[folder].partition("\n* ")[2].partition("\n\n")[0])
    assert listed
    assert [name for name in listed if not is_there(folder, name)] == []


def imported(tree: ast.Module) -> set[str]:
    """The packages that a file imports, other than our own."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


def test_what_is_called_pure_is() -> None:
    """A docstring that says "Pure." promises: no sockets, no processes, no clock."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    named = re.compile(r"\bPure[.:]")
    trees = {path: ast.parse(text) for path in files if named.search(text := path.read_text())}
    pure = {path: imported(tree) for path, tree in trees.items() if named.search(ast.get_docstring(tree) or "")}
    assert len(pure) > 30
    assert {str(path.relative_to(ROOT)): found for path, names in pure.items() if (found := names & IMPURE)} == {}


def test_documents_that_are_cited_exist() -> None:
    """In docstrings and comments: our own pages and sources, and paragraphs of nothing but standards."""
    sources = [path for name in (*PACKAGES, "native") for path in (ROOT / name).rglob("*.*")]
    texts = {path: path.read_text() for path in sources if path.suffix in (".py", ".c", ".h")}
    cited = {(path.name, found) for path, text in texts.items() for found in CITED.findall(text)}
    assert len(cited) > 30
    assert {one for one in cited if not (ROOT / one[1]).exists()} == set()
    assert [path.name for path, text in texts.items() if "§" in text and not STANDARD.search(text)] == []
