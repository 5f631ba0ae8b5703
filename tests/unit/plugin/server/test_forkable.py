"""Which servers may be forked: those whose command would have imported the same under the same environment."""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from pytest_cluster.server.forkable import Template, program_of, why_not

HERE = {"HOME": "/home/one", "WEB_CONCURRENCY": "2", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a package and a module that the template has imported."""
    folder = tmp_path / "installed"
    (folder / "server").mkdir(parents=True)
    (folder / "server" / "__init__.py").touch()
    (folder / "parser.py").touch()
    return folder


@pytest.fixture
def template(installed: Path) -> Template:
    return Template(
        HERE,
        {"WEB_CONCURRENCY", "PORT"},
        {"server": str(installed / "server" / "__init__.py"), "parser": str(installed / "parser.py")},
    )


def test_program_is_what_this_python_runs_as_a_module() -> None:
    assert program_of([sys.executable, "-m", "gunicorn", "-c", "conf"]) == "gunicorn"
    assert program_of([sys.executable, "-m"]) == ""
    assert program_of([sys.executable, "-W", "error", "-m", "gunicorn"]) == ""
    assert program_of(["/usr/bin/other", "-m", "gunicorn"]) == ""


def test_same_environment_and_folders_with_nothing(template: Template, tmp_path: Path) -> None:
    assert why_not(template, {**HERE, "ANYTHING": "else", "HOME": "/home/two"}, [str(tmp_path)]) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"WEB_CONCURRENCY": "3"}, "WEB_CONCURRENCY is another"),
        ({"PORT": "80"}, "PORT is another"),
        ({"LANG": "C"}, "LANG is another"),
        ({"TZ": "Asia/Tokyo"}, "TZ is another"),
        ({"MALLOC_ARENA_MAX": "1"}, "MALLOC_ARENA_MAX is another"),
        ({"PYTHONWARNINGS": "error"}, "PYTHONWARNINGS is another"),
        ({"COVERAGE_PROCESS_START": "rc"}, "COVERAGE_PROCESS_START is set"),
    ],
)
def test_variable_that_is_read_at_the_start(template: Template, changes: dict[str, str], why: str) -> None:
    assert why_not(template, {**HERE, **changes}, []) == why


def test_variable_that_is_gone(template: Template) -> None:
    environment = {name: value for name, value in HERE.items() if name != "PYTHONUNBUFFERED"}
    assert why_not(template, environment, []) == "PYTHONUNBUFFERED is another"


@pytest.mark.parametrize("name", ["parser.py", "server/__init__.py", f"parser{EXTENSION_SUFFIXES[0]}"])
def test_folder_with_another_module_of_the_name(template: Template, tmp_path: Path, name: str) -> None:
    """Also one that PYTHONPATH names."""
    folder = tmp_path / "own"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).touch()
    module = name.partition(".")[0].partition("/")[0]
    assert why_not(template, HERE, [str(folder)]) == f"{folder} has another {module}"
    named = {**HERE, "PYTHONPATH": os.pathsep.join(["/nonexistent", str(folder)])}
    assert why_not(template, named, []) == f"{folder} has another {module}"


def test_folder_from_which_the_template_has_imported_them(template: Template, installed: Path) -> None:
    """Also by another path."""
    (installed.parent / "link").symlink_to(installed)
    assert why_not(template, HERE, [str(installed), str(installed.parent / "link")]) == ""


def test_names_that_no_import_finds(template: Template, tmp_path: Path) -> None:
    for name in ("server.conf.py", "parser.txt", "parser"):
        (tmp_path / name).touch()
    (tmp_path / "server").mkdir()
    assert why_not(template, HERE, [str(tmp_path)]) == ""


def test_folder_whose_module_python_runs_by_itself(template: Template, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").touch()
    assert why_not(template, HERE, [str(tmp_path)]) == f"{tmp_path} has another sitecustomize"
