"""Render the Sphinx roles of docstrings: ``:class:`~a.b.C``` becomes a link to ``C``, if the site has it.

mkdocs calls this for each page.  Docstrings are Markdown to the site; roles, and the ``::`` before a literal block, are
all that they have of reStructuredText.
"""  # noqa: INP001 - a hook of mkdocs, not part of a package

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["on_page_content"]

_ROLE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, page: Any, **_: Any) -> str:  # noqa: ANN401 - mkdocs has no types
    """Return the page's HTML without roles; pages of prose have none."""
    if not page.url.startswith("api/"):
        return html
    return _ROLE.sub(_link, html).replace("::</p>", ":</p>")


def _link(role: re.Match[str]) -> str:
    shortened, name = role[1], role[2]
    shown = name.rpartition(".")[2] if shortened else name.lstrip(".")
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
