"""A real browser: Debian's chromium, driven by playwright.

Collected where playwright is installed (``tox -e browser``).  Where there is no chromium its tests are skipped.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from status_documents import made_status

from nodecluster_compat.operations.control_frames import HttpHead
from nodecluster_compat.operations.page import Page as StatusPage
from nodecluster_compat.operations.routes import json_answer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

collect_ignore = ["test_chat.py", "test_page.py", "test_run_page.py"] if find_spec("playwright") is None else []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        # Its sandbox does not run as root, as in a container.
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address in a window of its own; an error of the page, or a dialog, fails the test."""
    contexts, complaints = [], []

    def open_it(address: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(address)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


class FakeServer:
    """Answers with the page, and with a status that a test makes.

    Attributes:
        status: what it says; ``None`` for an answer without one.
        asked: how often it was.
    """

    def __init__(self) -> None:
        self.status: dict[str, Any] | None = None
        self.asked = 0
        self._page = StatusPage()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked += self.path == "/status.json"
                self.wfile.write(fake.page() if self.path == "/" else fake.answer())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def page(self) -> bytes:
        return self._page.answer(HttpHead("GET", "/")).encoded()

    def answer(self) -> bytes:
        if self.status is None:
            return json_answer({}, 503).encoded()
        self.status["uptime"] += 2
        return json_answer(self.status).encoded()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    made = FakeServer()
    made.status = made_status()
    yield made
    made.close()
