"""The page of a run: its size, what it leaves out when there is too much, and that nothing ends its block of data."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from failure_records import made_failure

from pytest_cluster.failures.page import MOST_BYTES, page_of
from pytest_cluster.failures.run_page import RunPage, check_file


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_all_is_there() -> None:
    failure = made_failure()
    told = data_of(page_of("1 failure", "about", [failure]))
    assert told == {"title": "1 failure", "about": "about", "cut": "", "failures": [json.loads(json.dumps(failure))]}


def test_what_is_said_cannot_end_the_data() -> None:
    hostile = "</script><script>alert(1)</script><!-- \u2028 \udc80 %DATA% %POLICY%"
    page = page_of("1 failure", hostile, [made_failure(text=hostile)])
    assert data_of(page)["about"] == hostile
    assert page.count("<script>") == 1
    page.encode()


@pytest.mark.slow
def test_page_of_500_failures_with_much_to_tell_is_small() -> None:
    page = page_of("500", "", [made_failure(one, entries=60, text="x" * 200) for one in range(500)])
    assert len(page.encode()) <= MOST_BYTES
    told = data_of(page)
    assert len(told["failures"]) == 500
    kept = re.search(r"the last (\d+) entries", told["cut"])
    assert kept is not None
    assert int(kept[1]) < 60
    cluster = told["failures"][499]["clusters"][0]
    assert cluster["cause"].startswith("worker 1 (pid 101) ended")
    assert len(cluster["entries"]) == int(kept[1])


def test_page_of_500_usual_failures_has_all() -> None:
    page = page_of("500", "", [made_failure(one) for one in range(500)])
    assert len(page.encode()) <= MOST_BYTES
    assert data_of(page)["cut"] == ""


def test_what_never_fits_is_counted() -> None:
    told = data_of(page_of("9", "", [made_failure(text="x" * 9000) for _ in range(9)], most_bytes=200_000))
    assert 0 < len(told["failures"]) < 9
    assert f"of 9 failures these are the first {len(told['failures'])}" in told["cut"]


def test_policy_allows_the_script_that_is_there_and_nothing_else() -> None:
    page = page_of("", "", [])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("page.html", ""),
        ("new/er/page.html", ""),
        ("", " is a folder: name a file in it, as "),
        ("file/page.html", "file is no folder, so nothing can be written there"),
    ],
)
def test_file_that_cannot_be(tmp_path: Any, name: str, told: str) -> None:
    (tmp_path / "file").write_text("")
    said = check_file(str(tmp_path / name))
    assert told in said if told else not said


def test_process_of_xdist_leaves_its_records_to_the_other(tmp_path: Any) -> None:
    here, there = RunPage("x", is_written_elsewhere=True), RunPage(str(tmp_path / "page.html"))
    report = pytest.TestReport("it", ("it.py", 1, "it"), {}, "failed", "E", "call")
    vars(report)["cluster_failure"] = json.dumps(made_failure())
    here.pytest_runtest_logreport(report)
    assert "cluster_failure" in vars(report)
    there.pytest_runtest_logreport(report)
    assert "cluster_failure" not in vars(report)
