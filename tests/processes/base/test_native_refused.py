"""An extension that is not for this machine or interpreter is refused by name, and Python serves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from nodecluster_compat.base.native import in_force

ROOT = Path(__file__).parents[3]
_SAY: Final = "from nodecluster_compat.base.native import in_force; print(in_force())"
_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("setuptools")
    monkeypatch.syspath_prepend(ROOT / "native")
    import building

    return building


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose extension is a copy, to be changed."""
    extension = in_force().module
    if extension is None:
        pytest.skip(str(in_force()))
    original = Path(extension.__file__)  # type: ignore[attr-defined]
    folder = tmp_path / "nodecluster_compat"
    folder.mkdir()
    for path in original.parent.iterdir():
        if path.suffix != ".so" and path.name != "__pycache__":
            (folder / path.name).symlink_to(path)
    (folder / original.name).write_bytes(original.read_bytes())
    return folder


def changed(package: Path, old: bytes, new: bytes) -> str:
    """What a process says of the extension, in which some bytes are others."""
    (path,) = package.glob("*.so")
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", _SAY]
    done = subprocess.run(command, env=environment, cwd=package.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_headers_of_another_python(package: Path) -> None:
    other = _VERSION[:-1] + "z"
    says = changed(package, f"{_VERSION}.\0".encode(), f"{other}.\0".encode())
    assert f"does not load: it was built with the headers of Python {other}.x, and this is {_VERSION}" in says


def test_libc_of_another_time(package: Path) -> None:
    (path,) = package.glob("*.so")
    needed = re.search(rb"GLIBC_2(\.[0-9.]+)\0", path.read_bytes())
    if needed is None:
        pytest.skip("no glibc here")
    says = changed(package, needed[0], needed[0].replace(b"GLIBC_2", b"GLIBC_9"))
    assert says.startswith("in Python alone (the C extension does not load: ")
    assert "GLIBC_9" in says


def test_cpu_that_it_was_not_built_for(building: ModuleType, tmp_path: Path) -> None:
    """What ends the process that tries it is not installed; and nothing is built for one CPU alone."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler here")
    source, built = tmp_path / "illegal.c", tmp_path / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    source.write_text('__attribute__((visibility("default"))) void *PyInit__native(void) { __builtin_trap(); }')
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True)
    with pytest.raises(building.NotBuilt, match=r"^what was built does not load: exit status -\d+$"):
        building._check_that_it_loads(built)
    assert not [flag for flag in building._FLAGS if flag.startswith("-m")]


def test_folder_that_takes_nothing(building: ModuleType, tmp_path: Path) -> None:
    """A full disk, or a checkout of somebody else: what was there stays, and pip goes on without."""
    built, folder = tmp_path / "built", tmp_path / "no folder"
    for path in (built, folder):
        path.write_bytes(b"new")
    with pytest.raises(building.NotBuilt, match=r"^it cannot be put in its place: \[Errno \d+\] "):
        building._put(built, folder / "_native.so")
    (tmp_path / "target").mkdir()
    with pytest.raises(building.NotBuilt, match=r"^it cannot be put in its place: \[Errno \d+\] "):
        building._put(built, tmp_path / "target")
    assert {path.name for path in tmp_path.iterdir()} == {"built", "no folder", "target"}


def test_free_threaded_interpreter(building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building.sysconfig, "get_config_var", lambda name: int(name == "Py_GIL_DISABLED"))
    with pytest.raises(building.NotBuilt, match="this Python is free-threaded"):
        building.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_interpreter_of_32_bits(building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of more than 2 GiB would be counted wrong."""
    monkeypatch.setattr(building.sys, "maxsize", 2**31 - 1)
    with pytest.raises(building.NotBuilt, match="this Python has 32"):
        building.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_compiler_that_fails_in_the_middle(
    building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies there already stays, and nothing half made."""
    target = tmp_path / building.file_name()
    target.write_bytes(b"former")
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *stores.c*) exit 7;; esac\nwhile [ "$1" != -o ]; do shift; done; : > "$2"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(building.NotBuilt, match=r"^the compiler failed: .*cc.? .* 7$"):
        building.build(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != compiler} == {target.name: b"former"}


_WITHOUT_LTO = """#!/bin/sh
case " $* " in *" -flto"*) exit 9;; esac
exec cc "$@"
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler here")
def test_compiler_that_cannot_compile_all_as_one_compiles_each(
    building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clang without the linker's part of it."""
    compiler = tmp_path / "compiler"
    compiler.write_text(_WITHOUT_LTO)
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(building, "_sources", lambda pattern: [ROOT / "native" / "calls.c"] if "c" in pattern else [])
    assert building._best(tmp_path, (), loads=False).is_relative_to(tmp_path / "each")
    monkeypatch.delenv("CC")
    assert building._best(tmp_path, (), loads=False).is_relative_to(tmp_path / "one")
