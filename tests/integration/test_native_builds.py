"""pip installs it with its C extension where one can be built, and without one, in one line, where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP: list[Path | str] = [sys.executable, "-m", "pip"]
SAY = "from nodecluster_compat.base.native import in_force; print(in_force())"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with nothing else; this one's pip installs there, as one of its own would."""
    return bare(tmp_path_factory.mktemp("venv"))


def bare(folder: Path) -> Path:
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that does not optimise, for what is not about speed."""
    return compiler(tmp_path_factory.mktemp("quick"))


def compiler(folder: Path, failing_on: str = "") -> str:
    fails = f'case "$word" in *{failing_on}) exit 7;; esac' if failing_on else ":"
    path = folder / "cc"
    path.write_text(f'#!/bin/sh\nfor word in "$@"; do {fails}; done\nexec cc "$@" -O0\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is published: made by the build back end, through its own door."""
    folder = tmp_path_factory.mktemp("sdist")
    back_end = folder / "back_end"
    run([*PIP, "install", "-q", "--target", back_end, "hatchling>=1.25,<2"])
    code = f"from hatchling.build import build_sdist; print(build_sdist({str(folder)!r}))"
    name = run([sys.executable, "-c", code], cwd=ROOT, PYTHONPATH=str(back_end)).splitlines()[-1]
    return folder / name


def run(command: list[Path | str], cwd: Path | None = None, **variables: str) -> str:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    whole = subprocess.STDOUT
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=whole, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def installed(python: Path, sdist: Path, **variables: str) -> tuple[str, list[str]]:
    """What a program says that has just been installed, and what pip said of the extension."""
    options = ["-v", "--no-deps", "--no-cache-dir", "--force-reinstall"]
    said = run([*PIP, "--python", python, "install", *options, sdist], **variables)
    lines = [line.strip() for line in said.splitlines() if "has no C extension" in line]
    return run([python, "-I", "-c", SAY]).strip(), lines


@pytest.mark.slow
def test_with_a_compiler(python: Path, sdist: Path, quick_compiler: str) -> None:
    """It is there; in a package of another version it lies there, and is refused by name."""
    assert installed(python, sdist, CC=quick_compiler) == ("with its C extension", [])
    code = "import nodecluster_compat.base.version as version; version.__version__ = '9.9'; "
    says = run([python, "-I", "-c", code + SAY]).strip()
    assert says == "in Python alone (the C extension is of version 0.1.0, this is 9.9)"


@pytest.mark.long
def test_with_a_compiler_that_fails_in_the_middle(python: Path, sdist: Path, tmp_path: Path) -> None:
    """Python serves, and pip has said why in one line."""
    failing = compiler(tmp_path, failing_on="stores.c")
    says, lines = installed(python, sdist, CC=failing)
    assert says == "in Python alone (the C extension is not built)"
    (line,) = lines
    assert line.startswith("nodecluster-compat has no C extension, and Python serves: the compiler failed: ")
    assert failing in line
    assert "7" in line


@pytest.mark.long
def test_without_a_compiler(python: Path, sdist: Path) -> None:
    says, lines = installed(python, sdist, CC="/nonexistent/cc")
    assert says == "in Python alone (the C extension is not built)"
    assert len(lines) == 1


@pytest.mark.long
def test_where_it_must_be_built(python: Path, sdist: Path) -> None:
    """As for wheels that are published: an error."""
    variables = {**os.environ, "NODECLUSTER_BUILD_NATIVE": "require", "CC": "/nonexistent/cc"}
    command = [*PIP, "--python", python, "wheel", "-v", "--no-deps", "--no-cache-dir", "-w", sdist.parent, sdist]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "NotBuilt: the compiler failed" in done.stdout + done.stderr


@pytest.mark.long
def test_editable(sdist: Path, tmp_path: Path, quick_compiler: str) -> None:
    """Beside the modules, where Python finds it."""
    run([sys.executable, "-m", "tarfile", "-e", sdist, tmp_path])
    (checkout,) = tmp_path.iterdir()
    python = bare(tmp_path / "venv")
    run([*PIP, "--python", python, "install", "-q", "--no-deps", "-e", checkout], CC=quick_compiler)
    assert run([python, "-I", "-c", SAY]).strip() == "with its C extension"
    assert len(list((checkout / "nodecluster_compat").glob("_native.*.so"))) == 1
