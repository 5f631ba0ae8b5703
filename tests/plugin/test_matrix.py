"""Versions of gunicorn and of Python, and any other keyword, as parameters of a test."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pytest_cluster.errors import MissingProgram, OptionError
from pytest_cluster.options import interpreters


def test_each_combination(fakes: pytest.Pytester) -> None:
    """Each is a run with a name of its own, and the values stand above those of the command line."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster_matrix(workers=[1, 3], env=[{"A": "1"}, {"A": "2"}])
        def test_it(cluster, cluster_matrix):
            assert len(cluster.workers) == cluster_matrix["workers"]
            assert cluster.options.env == cluster_matrix["env"]

        @pytest.mark.cluster_matrix(workers=[2, 3])
        class TestClass:
            def test_inherits(self, cluster): assert len(cluster.workers) in (2, 3)

            @pytest.mark.cluster_matrix(workers=[1])
            def test_nearest(self, cluster): assert len(cluster.workers) == 1

        def test_without(cluster, cluster_matrix): assert cluster_matrix == {}
        """
    )

    result = fakes.runpytest_inprocess("--cluster-workers=2", "-v")

    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["*::test_it?workers=1,env={'A': '1'}? PASSED*"])


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("workers=2", "*::test_it: @pytest.mark.cluster_matrix: expected a list of values for workers, got 2*"),
        ("workers=[]", "*: expected a list of values for workers, got []*"),
        ("'x'", "*: @pytest.mark.cluster_matrix takes keywords only, each with a list*"),
        ("wokers=[1]", "*: unknown keyword 'wokers'; valid are workers,*"),
        ("workers=list(range(1, 300))", "*: 299 combinations are too many, at most 200*"),
        ("workers=[0]", "*: @pytest.mark.cluster: workers must be a whole number, 1 or more, not 0*"),
    ],
)
def test_matrix_that_cannot_be(fakes: pytest.Pytester, said: str, sentence: str) -> None:
    fakes.makepyfile(
        f"""
        import pytest

        @pytest.mark.cluster_matrix({said})
        def test_it(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess()

    assert result.ret != pytest.ExitCode.OK
    result.assert_outcomes(errors=result.parseoutcomes().get("errors", 0))
    assert any(line for line in result.outlines + result.errlines if _fits(line, sentence)), str(result.stdout)


def _fits(line: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(line.replace("[]", "<>"), pattern.replace("[]", "<>"))


def test_matrix_on_a_test_case_is_refused(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import unittest
        import pytest

        @pytest.mark.cluster_matrix(workers=[1, 2])
        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _take(self, cluster): pass

            def test_it(self): pass
        """
    )

    result = fakes.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *::test_it: @pytest.mark.cluster_matrix: pytest cannot parametrize this test: *"]
    )


def test_interpreter_that_is_missing(fakes: pytest.Pytester) -> None:
    """In a matrix it is skipped, with what to do; by a marker it is an error."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster_matrix(python=["3.99"])
        def test_matrix(cluster): pass

        @pytest.mark.cluster(python="3.99")
        def test_marker(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess("-rs")

    result.assert_outcomes(skipped=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*MissingProgram: python: there is no python3.99 in PATH: install it, or give the path*"]
    )
    result.stdout.fnmatch_lines(["SKIPPED * cluster_matrix: python: there is no python3.99 in PATH: *"])


def test_interpreter_without_the_package(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingProgram, match=r"python: .* cannot serve: ModuleNotFoundError: .*: install nodecluster-"):
        interpreters.interpreter(str(bare))
    assert interpreters.interpreter(sys.executable) == sys.executable


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "it is no Python (exit code 0)"),
        ("echo 'shim: python3.9: command not found' >&2; echo 'see its manual' >&2; exit 127", "shim: python3.9: comm"),
    ],
)
def test_program_that_is_no_interpreter(tmp_path: Path, script: str, said: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(MissingProgram, match=r"cannot be run: it is no program"):
        interpreters.interpreter(str(program))
    interpreters._problems.clear()
    program.chmod(0o755)
    with pytest.raises(MissingProgram, match=f"python: {program} cannot serve: {re.escape(said)}"):
        interpreters.interpreter(str(program))


def test_version_of_gunicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed one needs nothing; another is fetched once; what is not supported, or not there, is said."""
    fetched: list[str] = []

    def fetch(version: str, folder: str) -> str:
        fetched.append(version)
        Path(folder).mkdir()
        return ""

    monkeypatch.setattr(interpreters, "_fetch", fetch)
    assert interpreters.gunicorn_folder(metadata.version("gunicorn"), lambda _: str(tmp_path)) == ""
    for _ in range(2):
        assert interpreters.gunicorn_folder("24.99", lambda _: str(tmp_path)) == str(tmp_path / "gunicorn-24.99")
    assert fetched == ["24.99"]
    with pytest.raises(OptionError, match=r"gunicorn: nodecluster-compat needs <28,>=24\.1\.1, got '20\.0'"):
        interpreters.gunicorn_folder("20.0", lambda _: str(tmp_path))
    with pytest.raises(OptionError, match=r"gunicorn: expected a version, as '27\.0\.1', got '\.\./x'"):
        interpreters.gunicorn_folder("../x", lambda _: str(tmp_path))


def test_version_that_a_cache_lacks_which_is_read_only(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has is used; what it lacks is fetched for this run alone."""
    cache = fakes.path / ".pytest_cache" / "d" / "cluster-gunicorn"
    (cache / "gunicorn-24.95").mkdir(parents=True)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(cache) and allowed(path, mode))
    fetched: list[Path] = []

    def fetch(_: str, folder: str) -> str:
        fetched.append(Path(folder))
        return "pip cannot fetch 24.94: ERROR: no network"

    monkeypatch.setattr(interpreters, "_fetch", fetch)
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster_matrix(gunicorn=["24.94", "24.95"])
        def test_it(cluster): assert cluster.options.gunicorn.endswith("/d/cluster-gunicorn/gunicorn-24.95")
        """
    )

    fakes.runpytest_inprocess().assert_outcomes(skipped=1, passed=1)

    assert [one.name for one in fetched] == ["gunicorn-24.94"]
    assert cache not in fetched[0].parents


@pytest.mark.slow
def test_version_that_pip_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the attempt."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingProgram, match=r"gunicorn: pip cannot fetch 24\.99: ERROR: No matching distribution"):
        interpreters.gunicorn_folder("24.99", lambda _: str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_version_that_cannot_be_fetched_is_tried_once(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whichever test asks first; in a matrix it is skipped, elsewhere an error; other tests go on."""
    fetched: list[str] = []

    def fetch(version: str, folder: str) -> str:
        fetched.append(version)
        return f"pip cannot fetch {version}: ERROR: no network"

    monkeypatch.setattr(interpreters, "_fetch", fetch)
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster_matrix(gunicorn=["24.97"], workers=[1, 2])
        def test_matrix(cluster): pass

        @pytest.mark.cluster(gunicorn="24.97")
        def test_marker(cluster): pass

        def test_other(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess("-rsE")

    result.assert_outcomes(skipped=2, errors=1, passed=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]2] * cluster_matrix: gunicorn: pip cannot fetch 24.97: ERROR: no network"])
    result.stdout.fnmatch_lines(["MissingProgram: gunicorn: pip cannot fetch 24.97: ERROR: no network"])
    assert fetched == ["24.97"]


def test_version_that_cannot_be_kept(tmp_path: Path) -> None:
    """No space, or no place."""
    gone = tmp_path / "gone"
    with pytest.raises(MissingProgram, match=rf"gunicorn: 24\.96 cannot be kept in {gone}: \[Errno 2\] No such file"):
        interpreters.gunicorn_folder("24.96", lambda _: str(gone))


@pytest.mark.slow
def test_another_gunicorn_serves(shop: pytest.Pytester, tmp_path: Path) -> None:
    """From a folder before all others, also where servers are forked from a template otherwise."""
    import gunicorn

    version = "24.99"
    other = shop.path / ".pytest_cache" / "d" / "cluster-gunicorn" / f"gunicorn-{version}"
    other.mkdir(parents=True)
    (other / "gunicorn").symlink_to(Path(gunicorn.__file__).parent)
    shop.makepyfile(
        f"""
        import pytest

        def place():
            import gunicorn
            return gunicorn.__file__

        @pytest.mark.cluster(gunicorn={version!r}, workers=1, app="shop:app")
        def test_it(cluster):
            assert "gunicorn-24.99" in cluster.workers[0].run(place)

        def test_factory(cluster_factory):
            one = cluster_factory(gunicorn={version!r}, workers=1, app="shop:app")
            assert "gunicorn-24.99" in one.primary.run(place)
        """
    )

    result = shop.runpytest_inprocess("--cluster-fork-server")

    result.assert_outcomes(passed=2)
