"""One place decides whether the C extension serves; whatever is wrong with it, Python does."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.base.native import Choice, Native, choose, in_force, sources_digest
from nodecluster_compat.base.version import __version__

ROOT = Path(__file__).parents[3]
EXTENSION: Any = SimpleNamespace(VERSION=__version__)


def chosen(load: Any = lambda: EXTENSION, abi: str = "", **variables: str) -> Choice:
    return choose(variables, load, abi, Path("/nonexistent"))


def failing(error: Exception) -> Any:
    def load() -> Native:
        raise error

    return load


def test_extension_serves_where_there_is_one() -> None:
    assert chosen() == chosen(NODECLUSTER_NATIVE="1") == Choice(EXTENSION, "")
    assert str(chosen()) == "with its C extension"


@pytest.mark.parametrize(
    ("choice", "why_not"),
    [
        (chosen(NODECLUSTER_NATIVE="0"), "NODECLUSTER_NATIVE=0"),
        (chosen(NODECLUSTER_NATIVE="off"), "NODECLUSTER_NATIVE is expected to be 0 or 1, and is 'off'"),
        (chosen(abi="t"), "a free-threaded Python has no use for the C extension"),
        (chosen(failing(ModuleNotFoundError("no"))), "the C extension is not built"),
        (chosen(failing(ImportError("GLIBC_2.99\nnot found"))), "the C extension does not load: GLIBC_2.99 not found"),
        (chosen(failing(SystemError("odd"))), "the C extension does not load: odd"),
        (
            chosen(lambda: SimpleNamespace(VERSION="0.0.9")),
            f"the C extension is of version 0.0.9, this is {__version__}",
        ),
        (chosen(lambda: ModuleType("x")), f"the C extension is of version unknown, this is {__version__}"),
    ],
)
def test_python_serves_otherwise(choice: Choice, why_not: str) -> None:
    """And says why, in one line."""
    assert choice == Choice(None, why_not)
    assert str(choice) == f"in Python alone ({why_not})"


def test_extension_is_not_looked_at_where_it_is_switched_off() -> None:
    assert chosen(failing(AssertionError("loaded")), NODECLUSTER_NATIVE="0").why_not == "NODECLUSTER_NATIVE=0"


def building() -> ModuleType:
    spec = importlib.util.spec_from_file_location("building", ROOT / "native" / "building.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_extension_is_of_these_sources() -> None:
    """It is built by ``pip install -e .``; one that is older than its sources is refused, and would not be tested."""
    if not (building().in_place() / building().file_name()).exists():
        pytest.skip("no extension in this checkout")
    assert "other sources" not in in_force().why_not, "build it again: pip install -e ."


def test_extension_of_other_sources_is_refused_in_a_checkout(tmp_path: Path) -> None:
    """As behind a ``git pull``; where the sources are not beside the package, nothing is compared."""
    assert sources_digest(ROOT / "native") == building().sources_digest()
    native = tmp_path / "native"
    native.mkdir()
    (native / "module.c").write_text("one")
    built: Any = SimpleNamespace(VERSION=__version__, SOURCES=sources_digest(native))
    assert choose({}, lambda: built, "", tmp_path).module is built
    (native / "module.c").write_text("two")
    assert choose({}, lambda: built, "", tmp_path).module is built
    (native / "building.py").touch()
    assert choose({}, lambda: built, "", tmp_path).why_not.startswith("the C extension was built from other sources")
    assert choose({}, lambda: EXTENSION, "", tmp_path).module is None
    (native / "module.c").write_text("one")
    assert choose({}, lambda: built, "", tmp_path).module is built


def test_tests_of_what_is_compiled_are_there() -> None:
    """Those that run by themselves, under sanitizers and for wheels: pytest passes over a name that is gone."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "native" / "pytest.ini")
    names = settings["pytest"]["testpaths"].split()
    assert len(names) > 20
    assert [name for name in names if not (ROOT / "native" / name).is_file()] == []
