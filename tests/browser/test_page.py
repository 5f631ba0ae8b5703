"""The page at ``/`` of the admin address, in a real browser: as a person sees it, uses it, and hears it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from status_documents import uncounted_status

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

pytestmark = pytest.mark.timeout(120)

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True}
DARK = {**PHONE, "color_scheme": "dark"}
ADMIN = "from nodecluster_compat import cluster\ncluster.setup_primary(admin='127.0.0.1:0', blocked_after=0.5)\n"
NONE = "\u2013"
SECONDS = 1000  # of the page's clock


def tile(page: Page, title: str) -> Any:
    return page.locator("#tiles > div", has=page.get_by_text(title)).locator("dd").first


def column(page: Page, label: str) -> list[str]:
    return page.locator(f"#workers tbody td[data-label='{label}'] span").all_inner_texts()


@pytest.mark.cluster(app="pid_echo:app", config=ADMIN, workers=2, fresh=True)
def test_page_shows_a_real_server(cluster: Cluster, open_page: Callable[..., Page]) -> None:
    """Its workers, what they serve, and how one of them ends, without being loaded again."""
    told: list[str] = []
    found = cluster.wait_for(lambda one: re.search(r"Admin address: (\S+)", one.log), reason="the admin address")
    page = open_page("about:blank")
    page.on("console", lambda said: told.append(said.text))
    page.goto(found[1])
    expect(page.get_by_text("2 of 2 workers listen")).to_be_visible()
    expect(page.locator("#workers tbody tr")).to_have_count(2)
    assert column(page, "PID") == [str(one.pid) for one in sorted(cluster.workers, key=lambda one: one.id)]
    expect(tile(page, "Requests in flight")).to_have_text("0")
    for _ in range(7):
        assert cluster.get("/").status == 200
    expect(page.get_by_text(re.compile(r"^7 in all"))).to_be_visible()
    assert sum(int(one) for one in page.locator("#durations td:nth-child(2)").all_inner_texts() if one) == 7
    expect(page.get_by_text(f"127.0.0.1:{cluster.port}: 0 of ")).to_be_visible()
    assert told == []  # nothing that its policy refuses
    cluster.workers[0].kill("KILL")
    expect(page.locator("#exits li")).to_have_count(1)
    expect(page.locator("#exits li")).to_contain_text("killed_from_outside")
    expect(page.locator("#state")).to_have_text("running")
    cluster.stop()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer. Below is what it said at ")
    expect(page).to_have_title(re.compile("^gone"))
    expect(page.locator("#workers tbody tr")).to_have_count(2)


def test_what_a_server_says_is_text(fake: Any, open_page: Callable[..., Page]) -> None:
    """Whatever a worker has logged, a path is called, or a reload failed of: no markup, no script, no direction."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    status = fake.status
    status |= {"hostname": hostile, "version": hostile, "mode": hostile, "last_fault": hostile, "state": "degraded"}
    status["listeners"][0]["address"] = hostile
    status["reload"] |= {"state": "failed", "reason": hostile}
    status["exits"][0] |= {"how": hostile, "reason": hostile, "last_words": [hostile, "\u202egnol"]}
    status["workers"][0] |= {"state": hostile, "health": hostile}
    page = open_page(fake.address)
    expect(page.locator("#listeners li")).to_contain_text(hostile)
    expect(page.locator("#news")).to_contain_text(hostile)
    page.locator("#exits summary").click()
    expect(page.locator("#exits pre")).to_contain_text(hostile)
    assert page.locator("img, #exits script, #listeners *:not(li)").count() == 0
    # And what would be one is refused by the browser itself.
    for attempt in (
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hit = 1'}))",
    ):
        refused = page.evaluate(f"() => {{ try {{ {attempt}; return '' }} catch (error) {{ return String(error) }} }}")
        assert "requires 'TrustedHTML'" in refused or "requires 'TrustedScript'" in refused, refused
    assert page.evaluate("window.hit") is None


def test_what_nobody_counts_is_not_shown_as_none(fake: Any, open_page: Callable[..., Page]) -> None:
    """As in a server without numbers, or of a worker that is about to be forked."""
    fake.status = uncounted_status()
    page = open_page(fake.address)
    expect(page.get_by_text("script mode")).to_be_visible()
    assert column(page, "PID") == [NONE, "102", "103"]
    assert column(page, "Memory") == [NONE] * 3
    for title in ("Requests per second", "Requests in flight", "Latency p95, last minute", "CPU of the workers"):
        assert tile(page, title).inner_text() == NONE
    expect(page.get_by_text("nobody counts here")).to_be_visible()
    expect(page.locator("#listeners li")).to_have_text("/run/shop.sock")
    expect(page.get_by_text("There was none.")).to_be_visible()


def test_server_that_is_gone_comes_back(fake: Any, open_page: Callable[..., Page]) -> None:
    """It is said in words, what is shown is marked as old, and nobody has to load the page anew."""
    page = open_page(fake.address)
    expect(page.locator("#state")).to_have_text("running")
    status, fake.status = fake.status, None
    expect(page.get_by_role("alert")).to_contain_text("The server answers, but not with its status.")
    expect(page.locator("body")).to_have_class("is-stale")
    fake.status = {**status, "pid": 200, "uptime": 1.0, "totals": {**status["totals"], "requests": 2}}
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_text("pid 200")).to_be_visible()
    expect(tile(page, "Requests per second")).to_have_text("0.0")  # not what a new server has less than the old one
    fake.status["schema"] = 2
    expect(page.get_by_role("alert")).to_contain_text("load the page anew")


HIDDEN = """is_hidden => {
  Object.defineProperty(document, "hidden", {configurable: true, value: is_hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("way", ["hidden", "paused"])
def test_nobody_is_asked_while_nobody_looks(fake: Any, open_page: Callable[..., Page], way: str) -> None:
    """Not by a hidden tab, nor after Pause; and at once when somebody looks again."""
    page = open_page("about:blank")
    page.clock.install()
    page.goto(fake.address)
    expect(page.locator("#state")).to_have_text("running")

    def look(is_looking: bool) -> None:
        if way == "hidden":
            page.evaluate(HIDDEN, not is_looking)
        else:
            page.get_by_role("button", name="Pause", pressed=is_looking).click()

    asked = fake.asked
    page.clock.run_for(2 * SECONDS)
    wait_until(lambda: fake.asked == asked + 1)
    look(False)
    page.clock.run_for(60 * SECONDS)
    page.evaluate("fetch('metrics')")  # comes behind what was asked before
    assert fake.asked == asked + 1
    look(True)
    wait_until(lambda: fake.asked == asked + 2)


def wait_until(check: Callable[[], bool]) -> None:
    assert poll(check, 20)


def test_page_is_used_with_the_keyboard(fake: Any, open_page: Callable[..., Page]) -> None:
    """Tab leads to the button, and to the columns; Enter sorts; what has the focus keeps it while numbers change."""
    page = open_page(fake.address)
    expect(page.locator("#workers tbody tr")).to_have_count(3)
    focused = "document.activeElement.textContent"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Pause"
    while page.evaluate(focused) != "Memory":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert column(page, "Slot") == ["1", "2", "3"]
    page.keyboard.press("Enter")
    assert column(page, "Slot") == ["3", "2", "1"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Memory")
    fake.status["workers"][1]["rss_bytes"] = 1 << 40
    expect(page.locator("#workers tbody tr").first).to_contain_text("102")
    assert page.evaluate(focused) == "Memory"
    fake.status["workers"][1]["health"] = "blocked"
    expect(page.get_by_role("status")).to_have_text("Worker 2 (pid 102) is blocked.")


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE, DARK], ids=["wide", "dark", "phone", "night"])
def test_page_is_for_everybody(fake: Any, open_page: Callable[..., Page], options: dict[str, Any]) -> None:
    """Enough contrast, names and roles for who hears it, no scrolling sideways on a telephone; axe finds nothing."""
    fake.status["workers"][0]["health"] = "blocked"
    page = open_page(fake.address, bypass_csp=True, **options)  # axe is a script of another origin
    expect(page.locator("#workers tbody tr")).to_have_count(3)
    page.locator("#exits summary").click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    for width in (320, 360, 600, 833, 1000, 1185, 1300, 1900):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 17, 23)" if options.get("color_scheme") == "dark" else "rgb(255, 255, 255)")
    cells = page.get_by_role("table", name="Workers").get_by_role("cell")
    assert cells.count() == 3 * 13  # on a telephone, too, where rows are cards
