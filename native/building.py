# ruff: noqa: INP001 - a script beside the sources that it compiles
"""Compile the C extension with setuptools, which knows how this Python was built.

``hatch_build.py`` calls :func:`build` for each wheel, and ``sanitized.py`` with more flags.  :func:`main` is for
developers: it builds in place.  setuptools honours ``CC``, ``CFLAGS`` and ``LDFLAGS``, as everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

__all__ = ["NotBuilt", "build", "file_name", "in_place", "sources_digest"]

ROOT: Final = Path(__file__).resolve().parent.parent
MODULE: Final = "nodecluster_compat._native"
_SECONDS: Final = 60.0
_MOST_COMPILERS: Final = 8  # at a time: each takes some memory
_FLAGS: Final = ("-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden")
_AS_ONE: Final = ("-flto=auto",)  # many files of short functions, which call each other for every request
_CHECK: Final = """
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
name, path, version = sys.argv[1:]
spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
module = module_from_spec(spec)
spec.loader.exec_module(module)
assert module.VERSION == version, module.VERSION
"""


class NotBuilt(Exception):
    """There is no extension, for a reason in one line."""


def build(folder: Path, flags: Sequence[str] = (), *, loads: bool = True) -> Path:
    """Compile the extension.

    Args:
        folder: where to put it.
        flags: more of them, for compiler and linker.
        loads: whether this interpreter is to load it for a test.

    Returns:
        The file.

    Raises:
        NotBuilt: this Python has no use for it, there is no compiler, it fails, or the disk refuses.
    """
    _check_interpreter()
    with _scratch() as scratch:
        across_machines = "_PYTHON_HOST_PLATFORM" in os.environ
        path = _best(Path(scratch), flags, loads=loads and not across_machines)
        return _put(path, folder / path.name)


def _best(scratch: Path, flags: Sequence[str], *, loads: bool) -> Path:
    """Compile all files as one, where compiler and linker can; a sanitizer's, and where they cannot, one by one."""
    if not flags:
        with contextlib.suppress(NotBuilt):
            return _tried(scratch / "one", _AS_ONE, loads=loads)
    return _tried(scratch / "each", flags, loads=loads)


def _tried(scratch: Path, flags: Sequence[str], *, loads: bool) -> Path:
    path = _compiled(scratch, flags)
    if loads:
        _check_that_it_loads(path)
    return path


def _scratch() -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory()
    except OSError as error:
        raise NotBuilt(f"there is no folder to compile in: {error}") from error


def _put(path: Path, target: Path) -> Path:
    """Put a file in its place in one step: a process that has the former one mapped keeps it, and none finds half."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(path.read_bytes())
        return beside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise NotBuilt(f"it cannot be put in its place: {error}") from error


def in_place() -> Path:
    """Return the folder of the package in this checkout."""
    return ROOT / "nodecluster_compat"


def file_name() -> str:
    """Return the name that this Python looks for."""
    return f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"


def sources_digest() -> str:
    """Return what tells one state of the sources from another."""
    digest = hashlib.sha256()
    for path in _sources("*.[ch]"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def version() -> str:
    """Return the version of the package, which the extension belongs to."""
    text = (in_place() / "base" / "version.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise NotBuilt("expected a version in nodecluster_compat/base/version.py")
    return found[1]


def _sources(pattern: str) -> list[Path]:
    return sorted((ROOT / "native").glob(pattern))


def _check_interpreter() -> None:
    if not sys.platform.startswith("linux"):
        raise NotBuilt(f"it is for Linux, and this is {sys.platform}")
    if platform.python_implementation() != "CPython":
        raise NotBuilt(f"it is for CPython, and this is {platform.python_implementation()}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotBuilt("it relies on the interpreter's lock, and this Python is free-threaded")
    if sys.maxsize < 2**32:
        raise NotBuilt("it counts bodies in 64 bits, and this Python has 32")


def _compiled(scratch: Path, flags: Sequence[str]) -> Path:
    try:
        from setuptools import Distribution, Extension
    except ImportError as error:
        raise NotBuilt("setuptools, which compiles it, is not installed") from error
    extension = Extension(
        MODULE,
        [str(path) for path in _sources("*.c")],
        depends=[str(path) for path in _sources("*.h")],
        define_macros=[("NODECLUSTER_VERSION", f'"{version()}"'), ("NODECLUSTER_SOURCES", f'"{sources_digest()}"')],
        extra_compile_args=[*_FLAGS, *_level(), *flags],
        extra_link_args=[*flags],
    )
    command = Distribution({"name": "nodecluster-compat", "ext_modules": [extension]}).get_command_obj("build_ext")
    command.build_extensions = _at_once(command)
    command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "temp")
    try:
        command.ensure_finalized()
        command.run()
    except Exception as error:  # setuptools' errors have no ancestor of their own
        raise NotBuilt(f"the compiler failed: {_one_line(_cause_of(error))}") from error
    return Path(command.get_ext_fullpath(MODULE))


def _at_once(command: Any) -> Callable[[], None]:  # noqa: ANN401 - setuptools' command, whose types are not ours
    """Return what builds as the command does, but compiles as many files at a time as there are processors."""
    build_extensions: Callable[[], None] = command.build_extensions

    def build_at_once() -> None:
        one_by_one = command.compiler.compile

        def compiled(sources: Sequence[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(min(_MOST_COMPILERS, len(os.sched_getaffinity(0)))) as pool:
                return [
                    path
                    for paths in pool.map(lambda source: one_by_one([source], **options), sources)
                    for path in paths
                ]

        command.compiler.compile = compiled
        build_extensions()

    return build_at_once


def _level() -> list[str]:
    """Return how much to optimise, unless the user has said it: ``CFLAGS`` come first, and the last one counts."""
    return [] if re.search(r"(^|\s)-O", os.environ.get("CFLAGS", "")) else ["-O2"]


def _check_that_it_loads(path: Path) -> None:
    command = [sys.executable, "-I", "-c", _CHECK, MODULE, str(path), version()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"what was built could not be tried: {_one_line(error)}") from error
    if done.returncode:
        raise NotBuilt(f"what was built does not load: {_last_line(done.stderr) or f'exit status {done.returncode}'}")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _cause_of(error: Exception) -> BaseException:
    """Return what says it in a few words: setuptools repeats the whole command."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, subprocess.CalledProcessError):
        return OSError(f"{cause.cmd[0]} ended with exit status {cause.returncode}")
    return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    """Build in place: ``python native/building.py``."""
    parser = argparse.ArgumentParser(description="Build the C extension into the checkout, for this Python.")
    parser.add_argument("--into", type=Path, default=in_place(), help="the folder that it is put into")
    given = parser.parse_args()
    try:
        path = build(given.into)
    except NotBuilt as error:
        sys.exit(f"no C extension: {error}")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
