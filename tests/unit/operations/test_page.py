"""The page, as it is sent: what a browser may do with it, and when it need not be sent again."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from nodecluster_compat.operations.control_frames import HttpHead
from nodecluster_compat.operations.page import Page

PAGE = Page()
TEXT = PAGE.answer(HttpHead("GET", "/")).body.decode()


def test_policy_names_the_script_and_the_style_that_are_there() -> None:
    """By their hashes, and nothing else runs, is loaded, or is sent anywhere."""
    policy = PAGE.answer(HttpHead("GET", "/")).headers["Content-Security-Policy"]
    rules = {words[0]: words[1:] for words in map(str.split, policy.split("; "))}
    for tag in ("script", "style"):
        [block] = re.findall(f"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == [f"'sha256-{digest}'"]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == ["'none'"]
    assert rules["connect-src"] == ["'self'"]
    assert "unsafe" not in policy


def test_page_makes_no_markup_and_loads_nothing() -> None:
    """Not by a word that would need another policy, either."""
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " src=", "import("):
        assert word not in TEXT
    assert not re.search(r"""<[^>]*\s(on\w+|style)=""", TEXT)
    addresses = set(re.findall(r"https?://[\w./]+", TEXT))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody asks


def test_page_is_small() -> None:
    assert len(TEXT) < 40_000


def test_page_that_the_browser_has_is_not_sent_again() -> None:
    first = PAGE.answer(HttpHead("GET", "/"))
    tag = first.headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = PAGE.answer(HttpHead("GET", "/", if_none_match=known))
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        head = again.encoded()
        assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert b"Content-Length" not in head
    assert first.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("known", ["", '"other"', "nonsense,,"])
def test_page_that_has_changed_is_sent(known: str) -> None:
    other = Page(b"<script>1</script>")
    assert other.answer(HttpHead("GET", "/", if_none_match=known)).status == 200
    tags = {page.answer(HttpHead("GET", "/")).headers["ETag"] for page in (PAGE, other)}
    assert len(tags) == 2
