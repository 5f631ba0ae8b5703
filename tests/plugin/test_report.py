"""What a failure shows: on the terminal, in JUnit XML and on disk; as golden texts, with what changes made plain."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"

# What is different in every run, and the word that stands for it.
CHANGING = [
    (re.compile(r"\[\d{4}-\d\d-\d\d [\d:]+ [+-]\d{4}\]"), "[TIME]"),
    (re.compile(r"(?m)^ *[+-]\d+\.\d{3}"), "+SECONDS"),
    (re.compile(r"(?m)^(#\d+) \d+\.\d{3}"), r"\1 SECONDS"),
    (re.compile(r"after \d+\.\d\d s"), "after SECONDS s"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b(pid[=: ]*)\d{2,7}\b"), r"\1PID"),
    (re.compile(r"\(\d{2,7}\)$", re.MULTILINE), "(PID)"),
    (re.compile(r"\[\d{2,7}\]"), "[PID]"),
    (re.compile(r"gunicorn \d+\.\d+\.\d+"), "gunicorn VERSION"),
    (re.compile(r"nodecluster-compat \d+\.\d+\.\d+, .*"), "nodecluster-compat VERSION, C OR PYTHON"),
    (re.compile(r'File ".*?/([^/"]+)", line \d+'), r'File "\1", line N'),
]


def settled(text: str) -> str:
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def cluster_sections(output: str) -> str:
    """The sections of the first failure that are ours, under their titles without the line around them."""
    found = re.findall(
        r"^-+ Captured (std\w+ cluster: .*?) (?:call|setup) -+\n(.*?)(?=^[-=]{5,}|^- gen|^cluster: )",
        output,
        re.MULTILINE | re.DOTALL,
    )
    return "\n".join(f"## {title}\n{body.strip()}" for title, body in found)


def assert_golden(name: str, text: str) -> None:
    """Compare with ``golden/name.txt``; delete the file to have it written anew."""
    path = GOLDEN / f"{name}.txt"
    if not path.exists():
        path.write_text(settled(text) + "\n")
        pytest.fail(f"{path} is new: look at it, then run the test again")
    assert settled(text) == path.read_text().strip()


def test_worker_killed_in_the_middle_of_a_request(shop: pytest.Pytester) -> None:
    """The cause first, then who was there, what happened, what each process had to say."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1)  # of two, nobody knows who listens first
        def test_pay(cluster, cluster_client, cluster_faults):
            with cluster_faults.hold("shop:confirm") as gate:
                answer = cluster_client.submit("/pay")
                (arrival,) = gate.wait_reached()
                with cluster.expect("exit", worker=arrival.worker):
                    cluster.worker(arrival.worker).kill()
            cluster.wait_listening()
            assert answer.exception() is None, "the payment was lost"
        """
    )

    result = shop.runpytest_inprocess("--junitxml=out.xml", "-o", "junit_logging=all")

    result.assert_outcomes(failed=1)
    sections = cluster_sections(result.stdout.str())
    assert_golden("worker_killed", sections)
    xml = ET.parse(shop.path / "out.xml").getroot()
    texts = "".join(node.text or "" for node in [*xml.iter("system-out"), *xml.iter("system-err")])
    for first_line in ("cause: worker 1 (pid ", "primary pid ", "all entries, in seconds", "worker 1 wrote since "):
        assert f"\n{first_line}" in texts


def test_end_that_the_client_sees_first_is_in_the_report(shop: pytest.Pytester) -> None:
    """The connection breaks before the primary has reaped: the report waits for its word, and hides our frames."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1)
        def test_pay(cluster, cluster_client, cluster_faults):
            with cluster_faults.hold("shop:confirm") as gate:
                answer = cluster_client.submit("/pay")
                gate.wait_reached()
                cluster.workers[0].kill()
            answer.result()
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "cause: worker 1 (pid *) ended: SIGKILL (injected: SIGKILL to worker 1), with 1 request in flight",
            "  worker 1  pid *  DEAD  SIGKILL *",
            "*exit worker=1 pid=* state=dead code=None signal=SIGKILL *",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_cluster/*.py:*")


def test_state_that_each_worker_has_for_itself(shop: pytest.Pytester) -> None:
    """Nothing is wrong with the cluster: the report says so, and what to try."""
    shop.makepyfile(
        """
        def test_visits(cluster, cluster_client):
            first = cluster_client.get("/visits")
            assert [first.text, cluster_client.get("/visits").text] == ["1", "2"]
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    wanted = ("## stdout cluster: cause", "cause:", "artefacts:", "reproduce:", "primary pid")
    lines = [line for line in cluster_sections(result.stdout.str()).splitlines() if line.startswith(wanted)]
    assert_golden("state_in_one_process", "\n".join(lines))


def test_primary_that_the_test_has_stopped_is_the_cause(fakes: pytest.Pytester) -> None:
    fakes.makepyfile("def test_it(cluster): cluster.stop(); assert False")

    result = fakes.runpytest()

    result.stdout.fnmatch_lines(["cause: the primary ended: exit code 0 (injected: SIGTERM to the primary)"])


def test_worker_that_gunicorn_gave_up_is_the_cause(shop: pytest.Pytester) -> None:
    """Who ends a worker for its silence says so in the primary's log."""
    shop.makepyfile(
        busy="""
        def app(environ, start_response):
            while True:
                pass
        """
    )
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(app="busy:app", workers=1, settings={"timeout": 1})
        def test_it(cluster):
            with cluster.expect("exit", worker=1), pytest.raises(ConnectionError):
                cluster.get("/")
            assert False
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r"cause: worker 1 \(pid \d+\) ended: \S.*, because it gave no sign of life for gunicorn's timeout of 1 s \(W"]
    )


def test_worker_that_holds_out_against_gunicorn_is_the_cause(shop: pytest.Pytester) -> None:
    """It is given up, and not yet dead."""
    shop.makepyfile(
        stubborn="""
        import os, signal

        def app(environ, start_response):
            signal.signal(signal.SIGABRT, lambda *_: None)
            while True:
                pass
        """
    )
    shop.makepyfile(
        """
        import os, signal
        import pytest

        @pytest.mark.cluster(app="stubborn:app", workers=1, settings={"timeout": 1, "graceful_timeout": 1})
        def test_it(cluster, request):
            cluster.client.submit("/")
            cluster.wait_for(lambda one: "WORKER TIMEOUT" in one.primary.logs.text, reason="a worker given up")
            os.kill(cluster.primary.pid, signal.SIGSTOP)  # SIGKILL would be next
            request.addfinalizer(lambda: os.kill(cluster.primary.pid, signal.SIGCONT))
            assert False
        """
    )

    result = shop.runpytest_inprocess()

    result.stdout.fnmatch_lines(["cause: worker 1 (pid *) is being ended, because it gave no sign of life for *"])


def test_processes_of_xdist_forget_no_failure(tmp_path: Path) -> None:
    """Another's report may just name that folder."""
    from types import SimpleNamespace

    from pytest_cluster.failures.artifacts import KEPT_FAILURES, forget_oldest

    nothing = {"getoption": lambda _: None, "getini": lambda _: None}
    config: Any = SimpleNamespace(cache=SimpleNamespace(mkdir=lambda _: tmp_path), workerinput={}, **nothing)
    for number in range(KEPT_FAILURES + 5):
        (tmp_path / f"failure-{number}").mkdir()
    forget_oldest(config)
    assert len(list(tmp_path.iterdir())) == KEPT_FAILURES + 5
    del config.workerinput
    forget_oldest(config)
    assert len(list(tmp_path.iterdir())) == KEPT_FAILURES


def test_expected_failures_and_skips_are_none(shop: pytest.Pytester) -> None:
    """They cost no cluster, write no artefacts and keep nothing running."""
    shop.makepyfile(
        """
        import unittest
        import pytest

        pids = set()

        @pytest.mark.xfail
        def test_expected(cluster):
            pids.add(cluster.primary.pid)
            assert False

        def test_skipped(cluster):
            pids.add(cluster.primary.pid)
            raise unittest.SkipTest("not here")

        @pytest.mark.xfail(strict=True)
        def test_unexpected(cluster):
            pids.add(cluster.primary.pid)
            assert len(pids) > 1
            assert False

        def test_last(cluster):
            pids.add(cluster.primary.pid)
            assert len(pids) == 1
        """
    )

    result = shop.runpytest_inprocess("--cluster-keep")

    result.assert_outcomes(passed=1, skipped=1, xfailed=2)
    result.stdout.no_fnmatch_line("*cluster: cause*")
    result.stdout.no_fnmatch_line("*kept running*")
    assert not (shop.path / ".pytest_cache/d/cluster").exists()


def test_unexpected_pass_is_a_failure(shop: pytest.Pytester) -> None:
    """One without an error."""
    shop.makepyfile("import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(cluster): pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cause: not the cluster: *"])


def test_cluster_that_did_not_start_leaves_its_log(fakes: pytest.Pytester) -> None:
    fakes.makepyfile("def test_it(cluster): pass")

    result = fakes.runpytest("--cluster-app=dies", "--cluster-workers=1")

    result.assert_outcomes(errors=1)
    name = "test_cluster_that_did_not_start_leaves_its_log.py"
    result.stdout.fnmatch_lines(
        [
            "cause: the cluster of dies did not get ready at its start * exit code 3 (a worker failed to boot)",
            f"artefacts: .pytest_cache/d/cluster/{name}_test_it",
            f"reproduce: pytest {name}::test_it --cluster-workers=1 --cluster-app=dies",
        ]
    )
    folder = fakes.path / f".pytest_cache/d/cluster/{name}_test_it"
    assert (folder / "primary.log").read_text() == "fake server: dies\n"
    assert (folder / "error.txt").read_text().startswith("the cluster of dies did not get ready")


@pytest.mark.table(quick=["assert False"])
@pytest.mark.parametrize("body", ["pass", "assert False"])
def test_cluster_that_did_not_end_leaves_its_log(fakes: pytest.Pytester, body: str) -> None:
    """Beside what the failure of its test has left."""
    fakes.makepyfile(f"def test_it(cluster): {body}")

    result = fakes.runpytest("--cluster-app=leaky", "--cluster-workers=1")

    result.assert_outcomes(errors=1, **{"passed" if body == "pass" else "failed": 1})
    result.stdout.fnmatch_lines(
        [
            "cause: 1 process was left after the primary had ended; killed now",
            "artefacts: .pytest_cache/d/cluster/*",
            "reproduce: pytest test_*.py::test_it --cluster-workers=1 --cluster-app=leaky",
        ]
    )
    folders = sorted((fakes.path / ".pytest_cache/d/cluster").iterdir())
    assert [one.name.endswith(".teardown") for one in folders] == ([False] if body == "pass" else [False, True])
    assert "left behind: " in (folders[-1] / "primary.log").read_text()
    assert '"listening"' in (folders[-1] / "journal.jsonl").read_text()


def test_cluster_that_its_with_has_ended_is_shown_as_it_was(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        def test_it(cluster_factory):
            with cluster_factory(workers=2):
                assert False
        """
    )

    result = fakes.runpytest()

    result.stdout.fnmatch_lines(
        [
            "cause: not the cluster: 2 workers listened, and none had failed; *",
            "primary pid *  http://127.0.0.1:*  policy rr",
            "  worker 1  pid *  listening *",
            "  worker 2  pid *  listening *",
        ]
    )


def test_many_workers_make_no_long_report(fakes: pytest.Pytester) -> None:
    """The first to end of itself, which is the cause, the last ones, and those that live; the rest is on disk."""
    fakes.makepyfile(
        """
        import os, signal

        def test_it(cluster):
            for worker in cluster.workers[:-1]:
                os.kill(worker.pid, signal.SIGTERM)
                cluster.journal.wait_for("exit", worker=worker.id)
            assert False
        """
    )

    result = fakes.runpytest("--cluster-workers=9")

    topology = result.stdout.str().partition("cluster: topology")[2].partition("cluster: timeline")[0]
    assert re.findall(r"^  worker (\d)", topology, re.MULTILINE) == ["1", "4", "5", "6", "7", "8", "9"]
    assert "\n  … and 2 more that had ended; the journal and all logs are in the artefacts\n" in topology
    result.stdout.fnmatch_lines(["cause: worker 1 (pid *) ended: SIGTERM"])


def test_long_stacks_are_cut() -> None:
    from pytest_cluster.waiting import evidence

    text = evidence("slow", [("stacks of worker 1", "\n".join(f"line {number}" for number in range(100)))])
    assert text.splitlines()[-2:] == ["line 79", "… and 20 lines more"]


def test_time_out_of_an_expectation(fakes: pytest.Pytester) -> None:
    """What was expected, what was seen, the last entries, the log; on a server that always does the same."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1)
        def test_it(cluster):
            with cluster.expect("exit", worker=1, timeout=0.1):
                pass
        """
    )

    result = fakes.runpytest()

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*pytest_cluster/*.py:*")
    lines = [line[1:].strip() for line in result.outlines if line.startswith("E ")]
    assert_golden("expectation", "\n".join(lines))


def test_death_at_the_start(fakes: pytest.Pytester) -> None:
    fakes.makepyfile("def test_it(cluster): pass")

    result = fakes.runpytest("--cluster-app=dies", "--cluster-workers=1")

    result.assert_outcomes(errors=1)
    text = result.stdout.str().partition("ERROR at setup of test_it")[2].partition("\n")[2]
    assert_golden("death_at_the_start", re.split(r"^[=-]{5,}", text, maxsplit=1, flags=re.MULTILINE)[0])


def test_application_that_does_not_import(shop: pytest.Pytester) -> None:
    """One sentence says why; the log of the worker follows."""
    shop.makepyfile(broken="import missing_thing\n")
    shop.makepyfile("def test_it(cluster): pass")

    result = shop.runpytest_inprocess("--cluster-app=broken:app")

    result.assert_outcomes(errors=1)
    said = next(line for line in result.outlines if line.startswith("the cluster of broken:app did not get ready"))
    for part in (
        "at its start (0 of 2 workers listened); ",
        " ended with exit code 3 (a worker failed to boot); ",
        "the log says: ModuleNotFoundError: No module named 'missing_thing'; ",
        "the server ended with exit code 3",
    ):
        assert part in said
    result.stdout.no_fnmatch_line("*pytest_cluster/*")  # no traceback of ours


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("shop:nothing", "Failed to find attribute 'nothing' in 'shop'."),
        ("shop:visits", "Application object must be callable."),
    ],
)
def test_application_that_only_prints_why(shop: pytest.Pytester, app: str, words: str) -> None:
    """What a worker printed last is the reason, where nothing was raised."""
    shop.makepyfile("def test_it(cluster): pass")

    result = shop.runpytest_inprocess(f"--cluster-app={app}", "--cluster-workers=1")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"*; worker * ended with exit code 4 (the application failed to load); the log says: {words}*"]
    )


def test_application_that_exits_at_import(shop: pytest.Pytester) -> None:
    """Nothing is written, and 0 is no error code: all that can be said is that somebody has done it."""
    shop.makepyfile(leaves="raise SystemExit(0)")
    shop.makepyfile("def test_it(cluster): pass")

    result = shop.runpytest_inprocess("--cluster-app=leaves:app", "--cluster-workers=1")

    result.assert_outcomes(errors=1)
    (told,) = [line for line in result.outlines if line.startswith("the cluster of leaves:app")]
    assert "; worker 1 ended with exit code 0: something that the application imports, or a hook, has ended" in told


def test_address_that_is_in_use(shop: pytest.Pytester) -> None:
    """gunicorn's own words."""
    shop.makepyfile(
        """
        import socket

        def test_it(cluster_factory):
            with socket.create_server(("127.0.0.1", 0)) as taken:
                cluster_factory(settings={"bind": "127.0.0.1:%d" % taken.getsockname()[1]}, start_timeout=60)
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*StartError: the cluster of shop:app did not get ready at its start*log says: Connection in use: *"]
    )


def test_log_is_cut_and_only_of_this_test(shop: pytest.Pytester) -> None:
    """A cluster that is used again: what it wrote for an earlier test is not shown."""
    shop.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.cluster(workers=1)

        def test_first(cluster, cluster_client):
            cluster_client.get("/warn")

        def test_second(cluster, cluster_client):
            for _ in range(100):
                cluster_client.get("/warn")
            assert False
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["worker 1 wrote since the test began 100 lines, of which the last 80:", "*reused 1 time*"]
    )
    assert result.stdout.str().count("the shop warns") == 80
    whole = next((shop.path / ".pytest_cache/d/cluster").glob("*test_second*/worker-1.log")).read_text()
    assert whole.count("the shop warns") == 101


def test_error_in_the_application_is_the_cause(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        def test_it(cluster_client):
            assert cluster_client.get("/raise").status == 200
        """
    )

    result = shop.runpytest_inprocess()

    result.stdout.fnmatch_lines(["cause: worker * (pid *) logged LookupError: no such thing in the shop"])


def test_request_without_an_answer_shows_stacks(shop: pytest.Pytester) -> None:
    """Of that moment: when the report is made, the block that let the worker hang has ended."""
    shop.makepyfile(
        """
        def test_it(cluster, cluster_client, cluster_faults):
            with cluster_faults.hang(cluster.workers[0]):
                cluster_client.get("/", timeout=1)
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *WaitTimeout: expected an answer to GET / within 1 s, which did not happen: no worker has begun it; *",
            "E *--- stacks of primary*",
            "E *arbiter.py*",
            "E *--- stacks of worker 1*",
            "E *_hang*",
            "cause: a request got no answer: no worker has begun it; *still for * s (injected: hang of worker 1)",
        ]
    )


def test_request_without_an_answer_names_who_has_it(shop: pytest.Pytester) -> None:
    """One of the workers is busy with it; which one, nobody but the cluster knows."""
    shop.makepyfile(
        """
        def test_it(cluster, cluster_client, cluster_faults):
            first = cluster_client.get("/").worker
            other = next(worker for worker in cluster.workers if worker.id != first)
            with cluster_faults.hold("request", worker=other):
                print("held", other.id)
                cluster_client.get("/", timeout=2)
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=2")

    (held,) = re.findall(r"^held (\d)$", result.stdout.str(), re.MULTILINE)
    has_it = f"worker {held} (pid *) has 1 request in flight*(injected: hold of request in worker {held})"
    result.stdout.fnmatch_lines([f"E *WaitTimeout: *: {has_it}", f"cause: a request got no answer: {has_it}"])


def test_submitted_request_without_an_answer_names_who_has_it(shop: pytest.Pytester) -> None:
    """Of those there may be a thousand: they have no stacks."""
    shop.makepyfile(
        """
        def test_it(cluster, cluster_client, cluster_faults):
            with cluster_faults.hold("request"):
                cluster_client.submit("/", timeout=2).result()
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    has_it = "worker 1 (pid *) has 1 request in flight*(injected: hold of request in every worker)"
    result.stdout.fnmatch_lines([f"E *WaitTimeout: *: {has_it}", f"cause: a request got no answer: {has_it}"])
    assert "E   --- stacks" not in result.stdout.str()


def test_request_that_the_primary_has_is_said_so(fakes: pytest.Pytester) -> None:
    """The server is up, and takes no connection."""
    fakes.makepyfile(
        """
        def test_it(cluster, cluster_client, cluster_faults):
            with cluster_faults.paused(cluster.primary):
                cluster_client.get("/", timeout=0.3)
        """
    )

    result = fakes.runpytest()

    result.stdout.fnmatch_lines(
        ["cause: a request got no answer: the primary (pid *) is stopped (injected: SIGSTOP to the primary)"]
    )


def test_request_that_nobody_has_begun_is_said_to_wait(shop: pytest.Pytester) -> None:
    """A worker that has no place for it: all are taken by connections that say nothing."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1, settings={"worker_connections": 1})
        def test_it(cluster, cluster_client):
            with cluster.connect():
                cluster_client.get("/", timeout=1)
        """
    )

    result = shop.runpytest_inprocess()

    result.stdout.fnmatch_lines(["cause: a request got no answer: no worker has begun it*"])


def test_foreign_timeout_shows_stacks(shop: pytest.Pytester) -> None:
    """A client that is not ours waits for a worker that hangs."""
    shop.makepyfile(
        """
        import urllib.request

        def test_it(cluster, cluster_faults):
            hang = cluster_faults.hang(cluster.workers[0])
            hang.__enter__()
            urllib.request.urlopen(cluster.url, timeout=1)
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*cluster: stacks of primary*", "*arbiter.py*", "*cluster: stacks of worker 1*", "*_hang*"]
    )


def test_foreign_client_that_waits_in_vain_names_who_has_the_request(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import urllib.request

        def test_it(cluster, cluster_faults):
            hold = cluster_faults.hold("request")
            hold.__enter__()
            urllib.request.urlopen(cluster.url, timeout=2)
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    result.stdout.fnmatch_lines(["cause: at the time-out, worker 1 (pid *) has 1 request in flight*"])


def test_primary_that_cannot_accept_is_the_cause(shop: pytest.Pytester) -> None:
    """No worker knows of the request: what the test has done, and what the primary has logged, is all there is."""
    shop.makepyfile(
        """
        def test_it(cluster, cluster_client, cluster_faults):
            with cluster_faults.fd_limit(cluster.primary, spare=0):
                cluster_client.get("/", timeout=1)
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    why = "injected: fd_limit(0) of the primary*; the primary's log says: Cannot accept on *"
    result.stdout.fnmatch_lines([f"cause: a request got no answer: no worker has begun it; {why}"])


def test_reproduce_line_is_the_command(shop: pytest.Pytester) -> None:
    shop.makepyfile("def test_it(cluster): assert False")

    result = shop.runpytest_inprocess("--cluster-workers=3,1", "--cluster-policy=none", "-k", "3")

    result.stdout.fnmatch_lines(
        ["reproduce: pytest 'test_*.py::test_it[[]workers=3]' --cluster-workers=3,1 --cluster-policy=none"]
    )


def test_reproduce_line_leaves_out_what_is_off(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_CLUSTER_COMPARE", "0")
    fakes.makepyfile("def test_it(cluster): assert False")

    result = fakes.runpytest()

    result.stdout.re_match_lines([r"reproduce: pytest test_\w+\.py::test_it$"])


def test_cache_that_cannot_be_made_costs_the_artefacts_only(shop: pytest.Pytester) -> None:
    """A checkout that is read-only, or a full disk; here, where root may write anything, a file is in the way."""
    shop.path.joinpath("taken").write_text("")
    shop.makepyfile(
        """
        def test_it(cluster): assert False
        def test_next(cluster): pass
        """
    )

    result = shop.runpytest_inprocess("-o", "cache_dir=taken/cache", "-W", "ignore::pytest.PytestCacheWarning")

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["artefacts could not be written: *taken*"])


def test_full_disk_costs_the_artefacts_only(shop: pytest.Pytester) -> None:
    """What is written goes to a device that is always full; the report says what happened."""
    shop.makepyfile(
        """
        import pytest_cluster.failures.artifacts as artifacts

        def test_it(cluster, monkeypatch):
            write = artifacts._write
            monkeypatch.setattr(artifacts, "_write", lambda path, text: write("/dev/full", text))
            assert False
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["artefacts could not be written: [[]Errno 28] No space left on device", "*topology*"])


def test_no_cache_no_artefacts(shop: pytest.Pytester) -> None:
    shop.makepyfile("def test_it(cluster): assert False")

    result = shop.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("artefacts:*")
    result.stdout.fnmatch_lines(["*cluster: topology*"])


def test_artefacts_are_bounded(shop: pytest.Pytester) -> None:
    """The oldest goes; what is written again is the newest."""
    from pytest_cluster.failures.artifacts import KEPT_FAILURES

    folder = shop.path / ".pytest_cache/d/cluster"
    names = [f"failure-{number}" for number in range(KEPT_FAILURES)]
    again = "test_artefacts_are_bounded.py_test_again"
    for age, name in enumerate([again, *names], start=1):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (age, age))
    shop.makepyfile("def test_again(cluster): assert False")

    shop.runpytest_inprocess().assert_outcomes(failed=1)

    assert {one.name for one in folder.iterdir()} == {again, *names[1:]}


@pytest.mark.slow
def test_names_that_differ_in_what_a_path_cannot_have(shop: pytest.Pytester) -> None:
    """Neither takes the other's folder, and each finds its own again."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("what", ["a b", "a/b"])
        def test_it(cluster, what): assert False
        """
    )
    folder = shop.path / ".pytest_cache/d/cluster"

    for _ in range(2):
        shop.runpytest_inprocess().assert_outcomes(failed=2)

    tests = {(one / "test.txt").read_text().partition("[")[2]: one.name for one in folder.iterdir()}
    assert set(tests) == {"a b]\n", "a/b]\n"}
    assert tests["a b]\n"].endswith(".py_test_it_a_b")


CRASHED = "Traceback (most recent call last):\n  File x\nValueError: bad\n[t] [1] [ERROR] Worker (pid:1) exited"
NO_PORT = "[t] [1] [ERROR] Connection in use: ('127.0.0.1', 0)\n[t] [1] [ERROR] Retrying in 1 second."
IN_USE = "[t] [1] [ERROR] Connection in use: ('::1', 1)\n[t] [1] [ERROR] Retrying in 1 second."


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("[t] [1] [ERROR] Shutting down: Master\n[t] [1] [ERROR] Reason: App failed", "Reason: App failed"),
        (CRASHED, "ValueError: bad"),
        (IN_USE, "Connection in use: ('::1', 1)"),
        (NO_PORT, "no free port: the system has none left to choose (Connection in use: ('127.0.0.1', 0))"),
        ("all is well", ""),
        ("shop.errors.NoMoney: 3 missing\n", ""),
        ("shop.errors.MoneyError: 3 missing\n", "shop.errors.MoneyError: 3 missing"),
    ],
)
def test_line_of_a_log_that_says_most(log: str, line: str) -> None:
    from pytest_cluster.server.exits import error_in_log

    assert error_in_log(log) == line


def test_last_words() -> None:
    from pytest_cluster.server.exits import last_words

    assert last_words(CRASHED) == "ValueError: bad"
    assert last_words("[2026-11-25 03:00:01 +0000] [1] [INFO] Worker exiting (pid: 1)\nno licence\n\n") == "no licence"
    assert last_words("") == ""


def test_ends_in_words() -> None:
    from pytest_cluster.server.exits import describe_exit, describe_returncode

    assert describe_exit(3, None) == "exit code 3 (a worker failed to boot)"
    assert describe_exit(77, None) == "exit code 77"
    assert describe_exit(None, "SIGKILL") == "SIGKILL (out of memory?)"
    assert describe_returncode(-9) == "SIGKILL"
    assert describe_returncode(-99) == "signal 99"
    assert describe_returncode(2) == "exit code 2"
    assert describe_returncode(4) == "exit code 4 (the application failed to load)"


def test_ends_for_gunicorns_limits_in_words() -> None:
    from pytest_cluster.server.exits import describe_exit, why_ended

    log = "[CRITICAL] WORKER TIMEOUT (pid:12)\n[CRITICAL] WORKER BOOT TIMEOUT (pid:13): not listening after 3 s\n"
    assert why_ended(log, 12) == "it gave no sign of life for gunicorn's timeout (WORKER TIMEOUT)"
    assert why_ended(log, 12, 2).startswith("it gave no sign of life for gunicorn's timeout of 2 s")
    assert why_ended(log, 13).startswith("it did not listen within the primary's boot_timeout")
    assert why_ended(log, 1) == ""
    assert describe_exit(None, "SIGKILL", "it was late") == "SIGKILL, because it was late"
    assert describe_exit(1, None, "it was late") == "exit code 1, because it was late"


@pytest.mark.slow
def test_transaction_that_workers_do_not_see_is_in_the_report(fakes: pytest.Pytester) -> None:
    """Of Django's cases, which have one around their tests, and anybody else's."""
    conftest = fakes.path / "conftest.py"
    conftest.write_text(
        """
import django
from django.conf import settings

FILES = {"NAME": "site.db", "TEST": {"NAME": "site.db"}}
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", **FILES}})
django.setup()
"""
        + conftest.read_text()
    )
    fakes.makepyfile(
        """
        import pytest
        from django.db import connection, transaction
        from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

        @pytest.mark.usefixtures("cluster")
        @override_settings(DEBUG=True, ALLOWED_HOSTS=["x"])
        class TestOverridden(SimpleTestCase):
            def test_it(self): assert False

        @pytest.mark.usefixtures("cluster")
        class TestInside(TestCase):
            def test_it(self): assert False

        @pytest.mark.usefixtures("cluster")
        class TestOutside(TransactionTestCase):
            def test_it(self): assert False

        def test_open(cluster):
            transaction.set_autocommit(False)
            with transaction.atomic():
                pass
            atomic = transaction.atomic()
            atomic.__enter__()
            assert False
        """
    )

    result = fakes.runpytest_subprocess()

    result.assert_outcomes(failed=4)
    told = [line for line in result.outlines if line.startswith("not seen: ")]
    overridden = [one for one in told if "settings" in one]
    told = [one for one in told if one not in overridden]
    assert [one[:75] for one in overridden] == [
        "not seen: Django's settings DEBUG are overridden in this process: workers h"
    ]
    sentence = "not seen: Django's database 'default' is in a transaction of this process"
    assert [line.partition(" (")[0] for line in told] == [sentence, sentence]
    assert all(line.endswith("for which nothing of that exists until it is committed") for line in told)
