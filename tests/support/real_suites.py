"""The suites of packages on PyPI, from their sources, in one process and on clusters: what fails there, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as ET

__all__ = ["HEADING", "SUITES", "WAYS", "Difference", "Suite", "SuiteUnavailable", "fetch", "problems", "row", "run"]

CONFTESTS: Final = Path(__file__).parents[1] / "real" / "suites"
WAYS: Final = (None, 1, 3)
"""In pytest's own process, and with so many workers."""

HEADING: Final = (
    "| Suite | in-process | 1 worker | 3 workers | what a server makes different | what several workers break |"
)
TIMEOUT_SECONDS: Final = 1500.0


class SuiteUnavailable(Exception):
    """The sources cannot be fetched."""


@dataclass(frozen=True)
class Difference:
    """Tests that fail for one reason.

    Attributes:
        why: in the words of the table.
        tests: patterns of names, between blanks: ``Class::test_*``.
        count: how many tests those are, with each way in which they fail.
        ways: where they fail.
    """

    why: str
    tests: str
    count: int
    ways: tuple[int | None, ...] = (1, 3)


@dataclass(frozen=True)
class Suite:
    """The tests of one release, and what comes of them.

    Attributes:
        name: of the package on PyPI.
        tests: what pytest is given, in the folder of the sources.
        conftest: a file of ``tests/real/suites``, for the end of the suite's own conftest.
        total: how many tests there are, without those that are skipped.
        plugins: of pytest, that the suite needs.
        source: the folder of the sources that is imported from.
        options: which of the tests.
        needs: modules that it imports beside the project's.
        cure: what makes it with 3 workers as it is with 1, for the table; ``SHARED_CACHE`` is a folder then.
        settings: a file of ``tests/real/suites`` with the settings of Django, where the sources have none.
    """

    name: str
    version: str
    tests: str
    conftest: str
    total: int
    differences: tuple[Difference, ...] = ()
    folder: str = "tests"
    plugins: tuple[str, ...] = ()
    source: str = "src"
    options: tuple[str, ...] = ()
    settings: str = ""
    needs: tuple[str, ...] = ()
    cure: str = ""

    def failing(self, way: int | None) -> int:
        """How many tests fail in this way."""
        return sum(one.count for one in self.differences if way in one.ways)


SUITES: Final = (
    Suite(
        "httpbin",
        "0.10.2",
        "tests",
        "httpbin",
        67,
        source="",
        needs=("httpbin",),
        differences=(
            Difference("`bytearray` bodies, which gunicorn refuses", "::test_*bytes*", 2),
            Difference("the 501 that it expects for chunks", "::test_post_chunked", 1),
        ),
    ),
    Suite(
        "requests",
        "2.32.5",
        "tests",
        "requests",
        591,
        plugins=("httpbin", "pytest_mock"),
        needs=("httpbin", "pytest_httpbin", "pytest_mock", "trustme"),
        # These want a network that swallows what is sent to an address which nobody has.
        options=("-k", "not test_connect_timeout and not test_total_timeout_connect"),
        differences=(Difference("`bytearray` bodies of httpbin", "::test_json_decode_*", 2),),
    ),
    Suite(
        "Werkzeug",
        "3.1.9",
        "tests/test_serving.py",
        "werkzeug",
        13,
        needs=("ephemeral_port_reserve",),
        # Its development server itself is no application: how that reloads, makes certificates, binds.
        options=("-m", "dev_server", "-k", "not reloader and not ssl and not test_server and not ipv6"),
        differences=(
            Difference(
                "ways of its development server: two slashes, folded and repeated fields, a length beside chunks, "
                "`Connection: close`",
                "::test_double_slash_path ::test_multi* ::test_chunked_request[[]True] ::test_streaming_close*",
                6,
            ),
        ),
    ),
    Suite(
        "Flask-Login",
        "0.6.3",
        "tests",
        "flask_clients",
        114,
        needs=("asgiref", "semantic_version"),
        differences=(
            Difference("signals of the worker", "::*signal* ::*_fired ::test_requests_without_accessing*", 10),
            Difference(
                "what is changed after the start",
                "::*_with_async ::test_session_protection_modes ::test_remember_me_refresh_each_request",
                3,
            ),
        ),
    ),
    Suite(
        "Flask-Caching",
        "2.5.1",
        "tests",
        "flask_clients",
        182,
        plugins=("xprocess", "asyncio"),
        needs=("asgiref", "cachelib", "pytest_asyncio", "xprocess"),
        # Backends that ask a server, each at its port.
        options=(
            *("-o", "asyncio_default_fixture_loop_scope=function", "--ignore=tests/test_backend_cache.py"),
            *("-k", "not MemcachedCache"),
        ),
        differences=(
            Difference(
                "what is in the cache of pytest's own process",
                "::test_cache_key_property ::test_make_cache_key_function_property ::test_delete_cached_*",
                7,
            ),
            Difference(
                "calls and signals counted there",
                "::test_cachelib_backend_* ::test_cached_view_s* ::test_cached_*uses_public* ::*_http_exception*",
                9,
            ),
            Difference(
                "a clock or a variable set after the start",
                "test_view::test_cached_view ::test_cached_view_class ::*_forced_update ::*_is_stale "
                "::*_response_filter ::test_cache_timeout_* ::test_hit_cache",
                8,
            ),
            Difference(
                "`SimpleCache`: each worker makes a page of its own",
                "::test_async_cached_view ::*_source_check_* ::*_unless ::test_generate_cache_key_from_* "
                "::test_set_make_cache_key_property ::test_view_argument_named_*",
                10,
                (3,),
            ),
        ),
    ),
    Suite(
        "django-axes",
        "8.3.1",
        "tests",
        "django_axes",
        351,
        source="",
        plugins=("django",),
        needs=("pytest_django",),
        differences=(
            Difference(
                "what is in the cache of pytest's own process",
                "::test_handler_reset_attempts_* CacheLoginTestCase::test_lockout_by_only_user_failures "
                "CacheLoginTestCase::test_reset_on_success_*",
                6,
            ),
            Difference("a signal of the worker", "::test_send_lockout_signal", 1),
            Difference(
                "`LocMemCache`: each worker counts failed logins for itself, and locks nobody out",
                "CacheLoginTestCase::* CacheHandlerTestCase::*",
                27,
                (3,),
            ),
        ),
    ),
    Suite(
        "django-ratelimit",
        "4.1.0",
        "django_ratelimit/tests.py",
        "django_ratelimit",
        52,
        source="",
        folder="",
        plugins=("django",),
        settings="django_ratelimit_settings",
        needs=("django_redis", "pymemcache", "pytest_django"),
        cure="with `FileBasedCache` all pass",
        differences=(Difference("`LocMemCache`: each worker counts for itself", "::*", 30, (3,)),),
    ),
)


@dataclass(frozen=True)
class Outcomes:
    """Names of tests, as ``Class::test``."""

    passed: frozenset[str]
    failed: frozenset[str]
    skipped: frozenset[str]
    told: str


def fetch(suite: Suite, folder: Path) -> Path:
    """Fetch the sources of a suite from PyPI and return the folder of the unpacked ones.

    :raises SuiteUnavailable: they cannot be had.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    try:
        done = subprocess.run(
            [*command, f"{suite.name}=={suite.version}"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SuiteUnavailable(f"the sources of {suite.name} {suite.version} did not come: {error}") from None
    if done.returncode:
        raise SuiteUnavailable(f"the sources of {suite.name} {suite.version} cannot be had: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def run(suite: Suite, sources: Path, way: int | None, more: Mapping[str, str] = MappingProxyType({})) -> Outcomes:
    """Run a suite in one way; nothing but its conftest is changed.

    :param more: variables of its environment.
    """
    conftest = sources / suite.folder / "conftest.py"
    own = conftest.read_text() if conftest.exists() else None
    results = sources / "results.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", f"--junitxml={results}"]
    for plugin in ("cluster", *suite.plugins):
        command += ["-p", plugin]
    if way is not None:
        conftest.write_text((own or "") + (CONFTESTS / f"{suite.conftest}.py").read_text())
        command.append(f"--cluster-workers={way}")
    if suite.settings:
        shutil.copy(CONFTESTS / f"{suite.settings}.py", sources)
        command.append(f"--ds={suite.settings}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(sources / suite.source),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        **more,
    }
    try:
        done = subprocess.run(
            [*command, *suite.options, suite.tests],
            cwd=sources, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    finally:
        if own is None:
            conftest.unlink(missing_ok=True)
        else:
            conftest.write_text(own)
    if not results.exists():
        raise AssertionError(f"{suite.name} did not run: {done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    outcomes = _outcomes(results, done.stdout)
    results.unlink()
    return outcomes


def _outcomes(results: Path, told: str) -> Outcomes:
    found: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    for case in ET.parse(results).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[kind].add(name)
    found["passed"] -= found["failed"]  # an error of its teardown is a second one
    return Outcomes(frozenset(found["passed"]), frozenset(found["failed"]), frozenset(found["skipped"]), told)


def problems(suite: Suite, way: int | None, came: Outcomes) -> list[str]:
    """Return what is not as the record has it."""
    found = []
    left = set(came.failed)
    for difference in suite.differences:
        patterns = difference.tests.split()
        these = {name for name in left if any(fnmatchcase(name, f"*{one}") for one in patterns)}
        left -= these
        expected = difference.count if way in difference.ways else 0
        if len(these) != expected:
            found.append(f"{difference.why}: expected {expected}, got {len(these)}: {sorted(these)}")
    found += [f"fails for no known reason: {name}" for name in sorted(left)]
    if len(came.passed) + len(came.failed) != suite.total:
        found.append(f"expected {suite.total} tests, got {len(came.passed)} passed, {len(came.failed)} failed")
    return found


def row(suite: Suite) -> str:
    """Return the suite's line of the table in docs/testing-suites.md."""
    alone, one, three = (suite.total - suite.failing(way) for way in WAYS)
    server, several = (
        "; ".join(f"{one.why} ({one.count})" for one in suite.differences if (1 in one.ways) is with_one)
        for with_one in (True, False)
    )
    several = "; ".join(filter(None, (several, suite.cure)))
    tests = f", `{Path(suite.tests).name}`" if suite.tests.endswith(".py") and suite.folder else ""
    return (
        f"| {suite.name} {suite.version}{tests} | {alone} of {suite.total} | {one} | {three} | {server} | {several} |"
    )
