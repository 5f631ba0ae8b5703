"""One place decides whether the C extension serves; whatever is wrong with it, Python does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.base.native import PYTHON, Choice, Native, choose, in_force
from nodecluster_compat.base.version import __version__

ROOT = Path(__file__).parents[3]
EXTENSION: Any = SimpleNamespace(VERSION=__version__)


def chosen(load: Any = lambda: EXTENSION, abi: str = "", **variables: str) -> Choice:
    return choose(variables, load, abi)


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


def test_process_decides_once() -> None:
    """By its environment, when it is first asked."""
    code = "from nodecluster_compat.base.native import in_force; print(in_force().why_not)"
    environment = {**os.environ, "NODECLUSTER_NATIVE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "NODECLUSTER_NATIVE=0\n"
    assert in_force() is in_force()
    assert PYTHON.module is None


def test_extension_is_of_these_sources() -> None:
    """It is built by ``pip install -e .``; one that is older than its sources would be tested in their place."""
    spec = importlib.util.spec_from_file_location("building", ROOT / "native" / "building.py")
    assert spec is not None
    assert spec.loader is not None
    building = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(building)
    module = in_force().module
    if module is None or Path(getattr(module, "__file__", "")).parent != building.in_place():
        pytest.skip("no extension in this checkout")
    assert building.sources_digest() == module.SOURCES, "build it again: pip install -e ."
