"""docs/architecture.md cannot go stale: every file, class, method and function that it names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
PROSE = re.sub(r"(?ms)^```.*?^```$", "", PAGE)
NAMED = re.findall(r"`([^`\s]+)`", PROSE)
# A file may be named by itself where the page says which folder it is in.
SEARCHED = ("", "nodecluster_compat", "nodecluster_compat/_gunicorn/arbiter", "nodecluster_compat/_gunicorn/requests")
# What is not ours, or an attribute of an object: gunicorn's, the standard library's, the public API.
FOREIGN = {"Arbiter", "Py_Exit", "cluster", "loop", "os", "process", "pyproject", "server", "socket", "sys", "wsgi"}


def definitions(module: Path) -> Iterator[str]:
    """Each class, ``Class.member`` and ``module.function`` of a file."""
    body = ast.parse(module.read_text()).body
    for node in [*body, *(inner for one in body if isinstance(one, ast.If) for inner in one.body)]:
        if isinstance(node, ast.FunctionDef):
            yield f"{module.stem}.{node.name}"
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef))


def known(classes_and_modules: set[str]) -> set[str]:
    """All that the files of both packages define which have one of these classes, or are one of these modules."""
    packages = ("nodecluster_compat", "pytest_cluster")
    modules = [module for package in packages for module in (ROOT / package).rglob("*.py")]
    defined = re.compile(r"(?m)^ *class (?:" + "|".join(sorted(classes_and_modules)) + r")\b")
    meant = [one for one in modules if one.stem in classes_and_modules or defined.search(one.read_text())]
    return {name for module in meant for name in definitions(module)}


def exists(path: str) -> bool:
    return any((ROOT / folder / path).exists() for folder in SEARCHED)


def test_files_and_folders_exist() -> None:
    paths = [name for name in NAMED if name.endswith((".py", "/"))]
    assert len(paths) > 100
    assert [path for path in paths if not exists(path)] == []


def floors() -> list[set[str]]:
    """The rooms of each floor, as the contract of the imports has them, but for the one that only starts the others."""
    found = re.search(r'(?s)containers = \["nodecluster_compat"\].*?layers = \[(.*?)\]', PROJECT)
    assert found is not None
    return [set(floor.split(" | ")) for floor in re.findall(r'"(.*?)"', found[1])[1:]]


def test_picture_has_every_room_on_its_floor() -> None:
    """A floor may have several lines; the last two share one."""
    picture = re.search(r"(?ms)^## The house.*?^```text$(.*?)^```$", PAGE)
    assert picture is not None
    at = {room: picture[1].find(room) for floor in floors() for room in floor}
    assert [room for room, place in at.items() if place < 0] == []
    places = [{at[room] for room in floor} for floor in floors()]
    assert all(max(above) < min(below) for above, below in pairwise(places))
    assert {room.rstrip("/") for room in re.findall(r"\b_?[a-z_]+/", picture[1])} <= set(at)


def test_classes_methods_and_functions_exist() -> None:
    """``Class``, ``Class.method`` and ``module.function``; a word in capitals is a frame or a signal."""
    names = [name for name in NAMED if re.fullmatch(r"[A-Z][a-z]\w+(\.\w+)?|[a-z_]+\.(?!py$)\w+", name)]
    ours = [name for name in names if name.partition(".")[0] not in FOREIGN]
    found = known({name.partition(".")[0] for name in ours})
    assert len(ours) > 60
    assert [name for name in ours if name not in found] == []
