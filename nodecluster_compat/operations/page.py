"""Answer ``/`` with the page that shows the server live: one file, which is sent again only if it has changed.

The page reads ``/status.json`` and nothing else.  What is in that may be hostile: a worker writes its log, a client the
paths in it.  So the page puts in text only, and its policy lets a browser run the one script that is in the file, by
its hash, load nothing, send nothing elsewhere, and make no markup out of text.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

from .routes import HttpAnswer

if TYPE_CHECKING:
    from .control_frames import HttpHead

__all__ = ["Page"]

_FILE: Final = os.path.join(os.path.dirname(__file__), "page.html")
_TYPE: Final = "text/html; charset=utf-8"
_BLOCK: Final = r"<{tag}>(.*?)</{tag}>"
_POLICY: Final = (
    "default-src 'none'",
    "script-src {script}",
    "style-src {style}",
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)


class Page:
    """The page, as it is on the disk when the server begins.

    Args:
        text: other text than the file's.
    """

    def __init__(self, text: bytes | None = None) -> None:
        self._text = _read() if text is None else text
        self._tag = f'"{hashlib.sha256(self._text).hexdigest()[:32]}"'
        self._headers = {
            "Cache-Control": "no-cache",  # that is: keep it, and ask each time whether it has changed
            "ETag": self._tag,
            "Content-Security-Policy": "; ".join(_POLICY).format(
                script=self._hashes("script"), style=self._hashes("style")
            ),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }

    def answer(self, request: HttpHead) -> HttpAnswer:
        """Return the page, or that the one which the browser has is still right."""
        known = {tag.strip().removeprefix("W/") for tag in request.if_none_match.split(",")}
        if self._tag in known or "*" in known:
            return HttpAnswer(304, _TYPE, b"", self._headers)
        return HttpAnswer(200, _TYPE, self._text, self._headers)

    def _hashes(self, tag: str) -> str:
        """Return the sources of the policy for what stands between these tags."""
        blocks = re.findall(_BLOCK.format(tag=tag).encode(), self._text, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(block).digest()).decode() for block in blocks)
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


def _read() -> bytes:
    with open(_FILE, "rb") as file:
        return file.read()
