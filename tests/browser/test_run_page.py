"""The page of ``--cluster-html`` in a real browser, from a file: as CI has uploaded it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from failure_records import made_failure
from playwright.sync_api import Page, expect

from pytest_cluster.failures.page import page_of

pytestmark = pytest.mark.timeout(120)

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True}
NIGHT = {"color_scheme": "dark"}


@pytest.fixture
def open_run(open_page: Callable[..., Page], tmp_path: Path) -> Callable[..., Page]:
    def open_it(failures: list[dict[str, Any]], fragment: str = "", **options: Any) -> Page:
        path = tmp_path / "page.html"
        path.write_text(page_of(f"{len(failures)} failures on clusters", "2 failed", failures), encoding="utf-8")
        return open_page(f"{path.as_uri()}{fragment}", **options)

    return open_it


def marks(page: Page, kind: str) -> Any:
    return page.locator(f"svg .mark > .{kind}")


def middle(where: Any) -> float:
    box = where.bounding_box()
    return box["x"] + box["width"] / 2


def test_lanes_are_to_scale(open_run: Callable[..., Page]) -> None:
    """A lane for each process, an entry where its time is, a request as long as it took."""
    page = open_run([made_failure()])
    assert page.locator(".lanes li").all_inner_texts() == ["primary", "worker 1", "worker 2", "nobody"]
    expect(marks(page, "message")).to_have_count(12)
    expect(page.locator(".cause")).to_contain_text("worker 1 (pid 101) ended: SIGKILL")
    expect(page.locator("table tbody tr")).to_have_count(2)
    fork, listening, exit_ = (middle(marks(page, kind).first) for kind in ("fork", "listening", "exit"))
    assert (listening - fork) / (exit_ - fork) == pytest.approx((0.7 - 0.1) / (1.3 - 0.1), abs=0.02)
    well, lost = marks(page, "request").bounding_box(), marks(page, "failed").bounding_box()
    assert well is not None
    assert lost is not None
    assert lost["width"] / well["width"] == pytest.approx(4, rel=0.1)
    assert page.locator("svg rect.life").count() == 2
    assert page.locator("svg rect.boot").count() == 2
    width = page.locator("svg").bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    wider = page.locator("svg").bounding_box()
    assert width is not None
    assert wider is not None
    assert wider["width"] == pytest.approx(2 * width["width"], abs=4)


def test_entry_is_told_where_somebody_points(open_run: Callable[..., Page]) -> None:
    """Beside it are the lines that were logged in that second."""
    page = open_run([made_failure()])
    marks(page, "fault").hover()
    expect(page.get_by_role("status")).to_have_text("+1.200 worker 1: fault INJECTED SIGKILL to worker 1")
    expect(page.locator(".pane").first.locator(".now")).to_contain_text("INJECTED")
    expect(page.get_by_role("region", name="Logs").locator(".now")).to_contain_text(["line 0", "line 1", "line 2"])
    page.get_by_role("region", name="Entries and requests").get_by_text("POST /pay lost").click()
    expect(page.get_by_role("status")).to_have_text("+1.100 nobody: POST /pay lost")


def test_page_is_used_with_the_keyboard(open_run: Callable[..., Page]) -> None:
    page = open_run([made_failure(1), made_failure(2)])
    page.get_by_role("button", name=re.compile("Zoom out")).focus()
    page.keyboard.press("Tab")  # the scrolled box
    while page.evaluate("document.activeElement.getAttribute('class')") != "mark now":
        page.keyboard.press("Tab")
    expect(page.get_by_role("status")).to_contain_text("+0.100 worker 1: fork")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("+0.100 worker 2: fork")
    page.keyboard.press("End")
    expect(page.get_by_role("status")).to_contain_text("message from worker=2 11")
    page.keyboard.press("Home")
    expect(page.get_by_role("status")).to_contain_text("+0.100 worker 1: fork")
    page.get_by_label("Find a test").fill("[2]")
    expect(page.locator("#tests li:visible")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#shown h2")).to_have_text("tests/test_pay.py::test_pay[2] (call)")
    assert page.url.endswith("#2")
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("getSelection().toString()") == "reproduce: pytest tests/test_pay.py::test_pay[2]"
    page.goto("about:blank")
    page.go_back()
    expect(page.locator("#shown h2")).to_contain_text("[2]")


def test_what_a_run_says_is_text(open_run: Callable[..., Page]) -> None:
    hostile = "</script><img src=x onerror=alert(1)><script>alert(2)</script>\u202e"
    said: list[str] = []
    page = open_run([made_failure(text=hostile)])
    page.on("console", lambda message: said.append(message.text))
    page.reload()
    expect(page.locator("#shown h2")).to_contain_text(hostile)
    expect(page.locator(".cause")).to_contain_text(hostile)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert said == []  # nothing that its policy refuses


@pytest.mark.parametrize("options", [{}, NIGHT, PHONE, {**PHONE, **NIGHT}], ids=["wide", "dark", "phone", "night"])
def test_page_is_for_everybody(open_run: Callable[..., Page], options: dict[str, Any]) -> None:
    """Enough contrast, names and roles, no scrolling sideways; axe finds nothing."""
    page = open_run([made_failure(1, entries=60), made_failure(2)], bypass_csp=True, **options)
    marks(page, "fault").hover()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    for width in (320, 600, 1000, 1900):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 17, 23)" if options.get("color_scheme") == "dark" else "rgb(255, 255, 255)")


def test_run_of_500_failures_is_drawn(open_run: Callable[..., Page], tmp_path: Path) -> None:
    """5 MB at most, drawn in a second of the processor's: all lanes of one of them, and the names of all.

    By the clock it takes as long as the machine is busy with others.
    """
    page = open_run([made_failure(one, entries=400, text="x" * 200) for one in range(500)])
    expect(page.locator("#tests li")).to_have_count(500)
    assert (tmp_path / "page.html").stat().st_size <= 5_000_000
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    expect(page.locator("#tests li")).to_have_count(500)
    expect(page.locator("#shown h2")).to_contain_text("test_pay[0]")
    measured = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    seconds = measured["TaskDuration"]
    print(f"drawn in {seconds * 1000:.0f} ms of the processor's")
    assert 0.001 < seconds < 1


def test_run_without_a_failure(open_run: Callable[..., Page]) -> None:
    page = open_run([])
    expect(page.locator("h1")).to_have_text("0 failures on clusters")
    expect(page.locator("#choice")).to_be_hidden()
