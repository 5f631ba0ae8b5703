"""Hooks for other plugins: what they are told, and what becomes of one that fails."""

from __future__ import annotations

import importlib
import json
import os
import re
from types import SimpleNamespace
from typing import Any

import pytest

HOOKS = """
    told = []

    def pytest_cluster_started(cluster, item):
        told.append(("started", item.name, len(cluster.workers)))

    def pytest_cluster_client_made(cluster, client):
        told.append(("client", client is cluster.client))

    def pytest_cluster_event(cluster, entry):
        told.append((entry.event, entry.seq))

    def pytest_cluster_ended(cluster):
        told.append(("ended", cluster.returncode))

    def pytest_cluster_report_sections(cluster, item, report):
        return [("queue", f"{item.name} {report.when}: 3 waiting")]

    def pytest_unconfigure():
        with open("told.json", "w") as file:
            json.dump(told, file)
"""


def add_to_conftest(project: pytest.Pytester, text: str) -> None:
    conftest = project.path / "conftest.py"
    conftest.write_text("import json\n" + conftest.read_text() + "\n".join(line[4:] for line in text.splitlines()))


def test_hooks_of_a_conftest(fakes: pytest.Pytester) -> None:
    """Each entry once and in order, the boot's as well; a section on the terminal; one cluster, one start, one end."""
    add_to_conftest(fakes, HOOKS)
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1)
        def test_first(cluster): pass

        @pytest.mark.cluster(workers=1)
        def test_second(cluster):
            cluster.new_client()
            cluster.workers[0].kill()
            cluster.journal.wait_for("exit")
            assert False
        """
    )

    result = fakes.runpytest_inprocess()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Captured stdout cluster: queue call*", "test_second call: 3 waiting"])
    told = [tuple(one) for one in json.loads((fakes.path / "told.json").read_text())]
    assert [one for one in told if one[0] in ("started", "client", "ended")] == [
        ("started", "test_first", 1),
        ("client", True),
        ("client", False),
        ("ended", 0),
    ]
    entries = [one for one in told if one[0] not in ("started", "client", "ended")]
    assert entries[:3] == [("fork", 1), ("online", 2), ("listening", 3)]
    assert [seq for _, seq in entries] == list(range(1, len(entries) + 1))
    assert {"fault", "exit"} <= {event for event, _ in entries}


@pytest.mark.slow
def test_test_clients_are_told_of(fakes: pytest.Pytester) -> None:
    """Each asks by a client of its own, whichever way a test has it."""
    add_to_conftest(
        fakes,
        """
    made = []

    def pytest_cluster_client_made(client):
        made.append(client)

    def pytest_unconfigure():
        with open("told.json", "w") as file:
            json.dump([len(made), len(set(map(id, made)))], file)
    """,
    )
    fakes.makepyfile(
        """
        import flask
        from django.conf import settings

        def test_it(cluster):
            settings.configured or settings.configure()
            cluster.async_client(), cluster.wsgi_app, cluster.django_client(), cluster.flask_client(flask.Flask("it"))
        """
    )

    fakes.runpytest_subprocess().assert_outcomes(passed=1)

    assert json.loads((fakes.path / "told.json").read_text()) == [5, 5]


SENTENCES = {
    "started(cluster)": {"errors": 1, "passed": 1},
    "client_made(cluster)": {"errors": 1, "passed": 1},
    "event(entry)": {"passed": 2},
    "ended(cluster)": {"passed": 2, "errors": 1},
}


@pytest.mark.table(
    quick=[
        "1 / 0-ZeroDivisionError: division by zero-started(cluster)",
        "pytest.fail('no')-Failed: no-client_made(cluster)",
        "1 / 0-ZeroDivisionError: division by zero-event(entry)",
        "pytest.fail('no')-Failed: no-ended(cluster)",
    ]
)
@pytest.mark.parametrize("hook", SENTENCES)
@pytest.mark.parametrize(
    ("failure", "said"), [("1 / 0", "ZeroDivisionError: division by zero"), ("pytest.fail('no')", "Failed: no")]
)
def test_hook_that_fails(fakes: pytest.Pytester, hook: str, failure: str, said: str) -> None:
    """One sentence says which and where, once; the cluster is gone all the same, and other tests go on."""
    name = f"pytest_cluster_{hook.partition('(')[0]}"
    add_to_conftest(fakes, f"\n    import pytest\n    def pytest_cluster_{hook}:\n        {failure}\n")
    line = len((fakes.path / "conftest.py").read_text().splitlines())
    fakes.makepyfile("def test_it(cluster): pass\ndef test_other(): pass")

    result = fakes.runpytest_inprocess("-rN")

    result.assert_outcomes(**SENTENCES[hook])
    told = [one for one in result.outlines if said in one]
    assert told == [
        f"{'' if name == 'pytest_cluster_event' else 'HookError: '}{name} in conftest.py:{line} failed: {said}"
    ]
    result.stdout.fnmatch_lines(["cluster: 1 started, *, 0 with leaked processes"])
    assert result.ret == 1


def test_hook_that_fails_after_an_end_that_failed(fakes: pytest.Pytester) -> None:
    """The end's own error is the test's; each cluster is ended, and told of once."""
    add_to_conftest(
        fakes,
        """
    def pytest_cluster_ended(cluster):
        with open("ended", "a") as file: print(cluster.primary.pid, file=file)
        raise LookupError("no such plugin")
    """,
    )
    fakes.makepyfile(
        """
        def test_it(cluster_factory):
            for _ in range(3): cluster_factory(workers=1)
        """
    )

    result = fakes.runpytest_inprocess("-rN")

    result.assert_outcomes(passed=1, errors=1)
    assert len(set((fakes.path / "ended").read_text().split())) == 3
    assert len((fakes.path / "ended").read_text().split()) == 3
    result.stdout.fnmatch_lines(
        ["HookError: pytest_cluster_ended in conftest.py:* failed: LookupError: no such plugin"]
    )


def test_hook_that_skips_or_ends_the_run(fakes: pytest.Pytester) -> None:
    """That is no failure of it."""
    add_to_conftest(
        fakes,
        """
    import pytest
    def pytest_cluster_started(item):
        pytest.skip("not here") if item.name == "test_it" else pytest.exit("enough")
    """,
    )
    fakes.makepyfile("def test_it(cluster): pass\ndef test_other(cluster): pass\ndef test_never(): pass")

    result = fakes.runpytest_inprocess("-rs")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * not here", "*Exit: enough*"])


FAILING_HOOKS = """
    import pytest
    def pytest_cluster_report_sections(): {failure}
    def pytest_cluster_failed(failure): failure.no_such_thing
"""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("1 / 0", "pytest_cluster_report_sections in conftest.py:* failed: ZeroDivisionError: division by zero"),
        ("pytest.fail('no')", "pytest_cluster_report_sections in conftest.py:* failed: Failed: no"),
        ("return 'busy'", "pytest_cluster_report_sections returned 'busy': expected pairs of a title and a text, *"),
        ("return 3", "pytest_cluster_report_sections returned 3: expected pairs of a title and a text, *"),
    ],
)
def test_hooks_about_a_failure_that_fail_hide_nothing(fakes: pytest.Pytester, failure: str, said: str) -> None:
    add_to_conftest(fakes, FAILING_HOOKS.format(failure=failure))
    fakes.makepyfile("def test_it(cluster): assert False, 'the reason'")

    result = fakes.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*the reason*",
            "cause: *",
            said.replace("[", "[[]"),
            "pytest_cluster_failed in conftest.py:* failed: AttributeError: *",
        ]
    )


def data_of(path: Any) -> Any:
    found = re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


FAILING = """
    import pytest

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.cluster(workers=1)
    def test_it(cluster, number):
        with pytest.raises(OSError):
            cluster.get("/lost", timeout=0.05)
        cluster.workers[0].kill()
        cluster.journal.wait_for("exit")
        assert False, "the reason"

    def test_that_passes(): pass

    @pytest.mark.cluster(app="dies")
    def test_that_does_not_start(cluster): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("xdist", [False, True], ids=["here", "xdist"])
def test_page_of_a_run(fakes: pytest.Pytester, xdist: bool) -> None:
    """Failures of all processes, with their artefacts beside it, also without a cache."""
    fakes.makepyfile(FAILING)
    more = ["-p", "xdist", "-n", "2"] if xdist else []

    arguments = ["--cluster-html=out/page.html", "--cluster-artifacts=kept", "-p", "no:cacheprovider", *more]
    result = fakes.runpytest_subprocess(*arguments)

    result.assert_outcomes(failed=2, passed=1, errors=1)
    result.stdout.fnmatch_lines([f"cluster: page of 3 failures: {fakes.path}/out/page.html"])
    told = data_of(fakes.path / "out" / "page.html")
    assert told["title"] == "3 failures on clusters"
    assert all(count in told["about"] for count in ("2 failed", "1 passed", "1 errors"))
    failures = {one["test"].partition("::")[2]: one for one in told["failures"]}
    assert set(failures) == {"test_it[1]", "test_it[2]", "test_that_does_not_start"}
    failed = failures["test_it[2]"]
    assert failed["reproduce"] == "reproduce: pytest 'test_page_of_a_run.py::test_it[2]'"
    assert "the reason" in failed["error"]
    (cluster,) = failed["clusters"]
    assert [one[1] for one in cluster["entries"]][:3] == ["fork", "online", "listening"]
    assert {"fault", "exit"} <= {one[1] for one in cluster["entries"]}
    assert [(one[2], one[3][:10], one[4]) for one in cluster["requests"]] == [(None, "GET /lost ", False)]
    assert cluster["workers"][0]["end"] == "SIGKILL (injected: SIGKILL to worker 1)"
    assert ["primary", "fake server: ready"] in [one[1:] for one in cluster["logs"]]
    assert "exit code 3" in failures["test_that_does_not_start"]["clusters"][0]["cause"]
    assert (fakes.path / cluster["artefacts"] / "journal.jsonl").is_file()
    assert len(list((fakes.path / "kept").iterdir())) == 3


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--cluster-html=.", "--cluster-html: * is a folder: name a file in it, as *"),
        ("--cluster-html=plain/page.html", "--cluster-html: * is no folder, so nothing can be written there: *"),
        ("--cluster-artifacts=plain", "--cluster-artifacts: */plain is no folder, so nothing *"),
    ],
)
def test_place_that_nothing_can_be_written_to(fakes: pytest.Pytester, option: str, told: str) -> None:
    """It is said in a sentence before any test runs."""
    (fakes.path / "plain").write_text("mine")
    fakes.makepyfile("def test_it(cluster): pass")

    result = fakes.runpytest_inprocess(option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])


@pytest.mark.parametrize(("flags", "why"), [(os.ST_RDONLY, "its file system is read-only"), (0, "permission denied")])
@pytest.mark.parametrize("option", ["--cluster-html=page.html", "--cluster-artifacts=kept"])
def test_checkout_that_is_read_only(
    fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, flags: int, why: str
) -> None:
    """Root may write anything but on such a file system, so it is said that this is one."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))

    result = fakes.runpytest_inprocess(option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {option.partition('=')[0]}: {fakes.path} cannot be written to: {why}"])


def test_artefacts_beside_somebody_elses_files(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of ours go, and nothing else does."""
    # Not by "from": a run inside of this process may have left the package an attribute that is no module any more.
    artifacts = importlib.import_module("pytest_cluster.failures.artifacts")
    monkeypatch.setattr(artifacts, "KEPT_FAILURES", 1)
    (fakes.path / "kept" / "mine").mkdir(parents=True)
    fakes.makepyfile(FAILING)

    fakes.runpytest_inprocess("--cluster-artifacts=kept", "-k", "test_it")

    left = sorted(one.name for one in (fakes.path / "kept").iterdir())
    assert len(left) == 2
    assert "mine" in left
