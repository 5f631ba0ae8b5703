"""pip installs it with its C extension where one can be built, and without one, in one line, where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAY = "from nodecluster_compat.base.native import in_force; print(in_force())"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with pip and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is published: made by the build back end, through its own door."""
    folder = tmp_path_factory.mktemp("sdist")
    environment = folder / "environment"
    venv.create(environment, with_pip=True, symlinks=True)
    run([environment / "bin" / "pip", "install", "-q", "hatchling>=1.25,<2"])
    code = f"from hatchling.build import build_sdist; print(build_sdist({str(folder)!r}))"
    name = run([environment / "bin" / "python", "-c", code], cwd=ROOT).splitlines()[-1]
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
    pip: list[Path | str] = [python, "-m", "pip", "install", "-v", "--no-deps", "--no-cache-dir", "--force-reinstall"]
    said = run([*pip, sdist], **variables)
    lines = [line.strip() for line in said.splitlines() if "has no C extension" in line]
    return run([python, "-I", "-c", SAY]).strip(), lines


def test_with_a_compiler(python: Path, sdist: Path) -> None:
    assert installed(python, sdist) == ("with its C extension", [])


def test_with_a_compiler_that_fails_in_the_middle(python: Path, sdist: Path, tmp_path: Path) -> None:
    """Python serves, and pip has said why in one line."""
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\nfor word in "$@"; do case "$word" in *stores.c) exit 7;; esac; done\nexec cc "$@"\n'
    )
    compiler.chmod(0o755)
    says, lines = installed(python, sdist, CC=str(compiler))
    assert says == "in Python alone (the C extension is not built)"
    (line,) = lines
    assert line.startswith("nodecluster-compat has no C extension, and Python serves: the compiler failed: ")
    assert str(compiler) in line
    assert "7" in line


def test_without_a_compiler(python: Path, sdist: Path) -> None:
    says, lines = installed(python, sdist, CC="/nonexistent/cc")
    assert says == "in Python alone (the C extension is not built)"
    assert len(lines) == 1


def test_extension_of_another_version(python: Path, sdist: Path) -> None:
    """It lies there, and is refused by name."""
    installed(python, sdist)
    code = "import nodecluster_compat.base.version as version; version.__version__ = '9.9'; "
    says = run([python, "-I", "-c", code + SAY]).strip()
    assert says == "in Python alone (the C extension is of version 0.1.0, this is 9.9)"


def test_where_it_must_be_built(python: Path, sdist: Path) -> None:
    """As for wheels that are published: an error."""
    variables = {**os.environ, "NODECLUSTER_BUILD_NATIVE": "require", "CC": "/nonexistent/cc"}
    command = [python, "-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir", "-w", sdist.parent, sdist]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "NotBuilt: the compiler failed" in done.stdout + done.stderr


def test_editable(sdist: Path, tmp_path: Path) -> None:
    """Beside the modules, where Python finds it."""
    run([sys.executable, "-m", "tarfile", "-e", sdist, tmp_path])
    (checkout,) = tmp_path.iterdir()
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", checkout])
    assert run([python, "-I", "-c", SAY]).strip() == "with its C extension"
    assert len(list((checkout / "nodecluster_compat").glob("_native.*.so"))) == 1
