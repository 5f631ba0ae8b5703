# ruff: noqa: INP001 - a script beside the sources that it compiles
"""Test the C extension as a sanitizer compiles it: ``python native/sanitized.py address stack undefined thread leak``.

It is built into a temporary folder, beside links to the rest of the package: the checkout's own extension stays.  The
tests are those of ``pytest.ini`` here.  ``stack`` watches the addresses of variables as well, where no greenlets are;
``quick`` is ``address`` and ``undefined`` at once, without what takes longest or is Python, and with fewer inputs for
tests of properties.  Other words and options are pytest's; files, seen from here, are run in place of all.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import building

_HERE: Final = building.ROOT / "native"
_SECONDS: Final = 600  # for a test: all of them are slower
_REPORT: Final = "report"  # pytest has the standard error
ALWAYS: Final = ("-O1", "-g", "-fno-omit-frame-pointer")
# Greenlets copy stacks, which whoever watches those takes for errors.
_ADDRESS: Final = ("-fsanitize=address", "--param=asan-stack=0")
_STACK: Final = ("-fsanitize=address", "--param=asan-stack=1")
_ADDRESS_LIBRARIES: Final = ("libasan.so", "libstdc++.so.6")  # greenlets throw, which the first is to see
_UNDEFINED: Final = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined")
_SHORT: Final = "not hostile_requests and not any_request and not same_memory and not odd_is_gunicorns"
_IN_C: Final = "not [python and not -python"  # the cells that have the Python twin are run elsewhere
_FEW: Final = ("-p", "few_inputs", "--hypothesis-profile=few")
# Within 2 ms, which take longer with each access to memory watched; and threads are counted, of which it has its own.
_NOT_THREAD: Final = "not left_off and not one_thread"


def _unit(*names: str) -> tuple[str, ...]:
    return tuple(f"../tests/unit/{name}.py" for name in names)


_STANDBY: Final = "../tests/processes/connections/test_standby.py"
_THREADS: Final = (
    _STANDBY,
    *_unit(
        "connections/test_dealer",
        "connections/test_dealt_in_c",
        "connections/test_engine",
        "connections/test_open_offers",
        "messages/test_twins",
        "roles/test_message_twins",
    ),
)
_WITHOUT_GREENLETS: Final = (
    _STANDBY,
    *_unit(
        "_gunicorn/worker/asgi/test_answer_heads",
        "_gunicorn/requests/test_body_reader",
        "_gunicorn/requests/test_clean_head",
        "_gunicorn/requests/test_clean_requests",
        "base/test_handler_calls",
        "connections/test_dealt_in_c",
        "connections/test_engine",
        "connections/test_open_offers",
        "connections/test_holding_back",
        "machine/test_peeking",
        "machine/test_shared_number",
        "messages/test_channel",
        "messages/test_twins",
        "operations/metrics/test_request_stores",
        "roles/test_message_twins",
        "routing/test_engineio",
    ),
)


@dataclass(frozen=True)
class Sanitizer:
    """One way to compile, and what is run then.

    Attributes:
        flags: of compiler and linker.
        libraries: that are loaded before Python, which is not compiled so.
        options: of the environment: the sanitizer's, by the name of the variable.
        variables: of the environment, others.
        tests: options and files for pytest, unless others are given; none for all.
    """

    flags: Sequence[str]
    libraries: Sequence[str]
    options: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    tests: Sequence[str] = ()


_ADDRESSES: Final = {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
_EACH: Final = {"PYTHONMALLOC": "malloc"}  # each object by itself, which the sanitizer then knows
_EXIT: Final = "exitcode=66"
KINDS: Final = {
    "address": Sanitizer(_ADDRESS, _ADDRESS_LIBRARIES, _ADDRESSES, _EACH),
    "stack": Sanitizer(_STACK, _ADDRESS_LIBRARIES, _ADDRESSES, _EACH, _WITHOUT_GREENLETS),
    "undefined": Sanitizer(_UNDEFINED, ("libubsan.so",), {"UBSAN_OPTIONS": "print_stacktrace=1"}),
    "thread": Sanitizer(
        ("-fsanitize=thread",), ("libtsan.so",), {"TSAN_OPTIONS": _EXIT}, tests=("-k", _NOT_THREAD, *_THREADS)
    ),
    "leak": Sanitizer(("-fsanitize=leak",), ("liblsan.so",), {"LSAN_OPTIONS": _EXIT}, _EACH),
    "quick": Sanitizer(
        (*_ADDRESS, *_UNDEFINED),
        (*_ADDRESS_LIBRARIES, "libubsan.so"),
        {**_ADDRESSES, "UBSAN_OPTIONS": "print_stacktrace=1"},
        _EACH,
        ("-k", f"{_SHORT} and {_IN_C}", *_FEW),
    ),
}


def main() -> None:
    """Build and run, and end with code 1 where something was found."""
    parser = argparse.ArgumentParser(description="Test the C extension with it compiled by sanitizers.")
    kinds_help = f"of {', '.join(KINDS)}; all but quick by default"
    parser.add_argument("words", nargs="*", metavar="KIND or TEST", help=f"{kinds_help}; and files for pytest")
    given, options = parser.parse_known_args()
    kinds, tests = sorted_out(given.words)
    if unknown := [test for test in tests if not Path(_HERE, test.partition("::")[0]).exists()]:
        parser.error(f"expected some of {', '.join(KINDS)}, or files seen from native/, got {', '.join(unknown)}")
    failed = [kind for kind in kinds if not _passes(kind, KINDS[kind], [*(tests or KINDS[kind].tests), *options])]
    if failed:
        sys.exit(f"FAILED: {', '.join(failed)}")


def sorted_out(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which words are kinds, or all but quick where none is, and which are pytest's."""
    kinds = [word for word in words if word in KINDS]
    return kinds or [kind for kind in KINDS if kind != "quick"], [word for word in words if word not in KINDS]


def _passes(name: str, kind: Sanitizer, options: Sequence[str]) -> bool:
    missing = [library for library in kind.libraries if not _path_of(library).is_file()]
    if missing:
        sys.stdout.write(f"{name}: skipped, since the compiler here has no {' and no '.join(missing)}\n")
        return True
    sys.stdout.write(f"== {name}\n")
    sys.stdout.flush()
    with TemporaryDirectory() as folder:
        package = Path(folder, "nodecluster_compat")
        link(package)
        building.build(package, (*ALWAYS, *kind.flags), loads=False)
        command = [
            *_fixed_addresses(),
            sys.executable,
            "-m",
            "pytest",
            "-c",
            "pytest.ini",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        environment = environment_of(kind, folder)
        done = subprocess.run([*command, *options], cwd=_HERE, env=environment, check=False)
        found = [path.read_text(errors="replace") for path in Path(folder).glob(f"{_REPORT}*")]
    sys.stdout.write("".join(found))
    return done.returncode == 0 and not found


def _path_of(library: str) -> Path:
    try:
        said = subprocess.run(["cc", f"-print-file-name={library}"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Path(library)
    return Path(said.stdout.strip())


def link(package: Path) -> None:
    """Make a folder of the package without its extension."""
    package.mkdir()
    for path in building.in_place().iterdir():
        if path.suffix != ".so" and path.name != "__pycache__":
            (package / path.name).symlink_to(path)


def _fixed_addresses() -> list[str]:
    """The sanitizers' shadows lie where a kernel may have put something by chance."""
    try:
        subprocess.run(["setarch", platform.machine(), "-R", "true"], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return ["setarch", platform.machine(), "-R"]


def environment_of(kind: Sanitizer, folder: str) -> dict[str, str]:
    """Return the environment of a process that loads what was built into ``folder``, and writes what it finds there."""
    return {
        **os.environ,
        **kind.variables,
        **{name: f"{options}:log_path={folder}/{_REPORT}" for name, options in kind.options.items()},
        "LD_PRELOAD": " ".join(str(_path_of(library)) for library in kind.libraries),
        "PYTHONPATH": os.pathsep.join((folder, str(building.ROOT / "tests" / "support"))),
        "PYTHONSAFEPATH": "1",  # not the package in a current folder
        "PYTHONFAULTHANDLER": "1",
        "PYTEST_TIMEOUT": str(_SECONDS),
        "NODECLUSTER_NATIVE": "1",
    }


if __name__ == "__main__":
    main()
