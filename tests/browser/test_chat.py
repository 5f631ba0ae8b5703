"""The chat of examples/chat in several tabs of a browser: each goes on, whatever happens to its worker."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_cluster import ClusterFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHAT = Path(__file__).parents[2] / "examples" / "chat"
NAMES = ["Ada", "Bob", "Cyd", "Dan", "Eve"]


def say(tab: Page, text: str) -> None:
    tab.fill("#text", text)
    tab.press("#text", "Enter")


def all_hear(tabs: list[Page], *lines: str) -> None:
    """Each tab shows these lines next, each once."""
    for tab in tabs:
        tab.wait_for_function("count => document.querySelectorAll('#log li').length >= count", arg=len(lines))
        assert sorted(tab.locator("#log li").all_inner_texts()) == sorted(lines)
        tab.evaluate("document.querySelector('#log').replaceChildren()")


def workers(tabs: list[Page]) -> list[int]:
    for tab in tabs:
        tab.wait_for_selector("#state[data-worker]")
    return [int(tab.get_attribute("#state", "data-worker") or 0) for tab in tabs]


@pytest.mark.timeout(120)
def test_tabs_go_on_when_workers_end(cluster_factory: ClusterFactory, open_page: Callable[..., Page]) -> None:
    """One is killed, then all are replaced; what was said meanwhile is not missed."""
    config = (CHAT / "gunicorn.conf.py").read_text().replace('bind = "127.0.0.1:8000"', "")
    cluster = cluster_factory(workers=4, app="chat:app", settings={"pythonpath": str(CHAT)}, config=config)
    tabs = [open_page(f"{cluster.url}/?name={name}") for name in NAMES]
    assert len(set(workers(tabs))) > 1
    for number, tab in enumerate(tabs):
        say(tab, f"hello {number}")
    all_hear(tabs, *(f"{name}: hello {number}" for number, name in enumerate(NAMES)))

    served = workers(tabs)
    killed = served[0]
    cluster.worker(killed).kill(signal.SIGKILL)
    say(tabs[-1], "said meanwhile")
    all_hear(tabs, "Eve: said meanwhile")
    for tab in (tab for tab, worker in zip(tabs, served, strict=True) if worker == killed):
        tab.wait_for_function("document.querySelector('#state').innerText.includes('nothing was missed')")
    assert killed not in workers(tabs)

    before = workers(tabs)
    assert cluster.reload().state == "succeeded"
    cluster.journal.wait_for("exit", worker=before[0])
    say(tabs[0], "after the reload")
    all_hear(tabs, "Ada: after the reload")
    assert not set(workers(tabs)) & set(before)
