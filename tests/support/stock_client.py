"""Ask a control socket as the stock ``gunicornc`` does, in this process: a start of it is a fifth of a second."""

from __future__ import annotations

import contextlib
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["HAS_STOCK_CLIENT", "ask_as_stock"]

HAS_STOCK_CLIENT = find_spec("gunicorn.ctl") is not None
"""gunicorn has ``gunicornc`` from 25.1 on."""


def ask_as_stock(path: str | Path, words: str, *, as_json: bool = True) -> dict[str, Any]:
    """Return what ``gunicornc -j -c WORDS`` prints; empty without ``-j``, whose words only have to be printable."""
    from gunicorn.ctl import cli

    said, failed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
        code = cli.run_command(str(path), words, json_output=as_json)
    assert code == 0, failed.getvalue()
    answer: dict[str, Any] = json.loads(said.getvalue()) if as_json else {}
    return answer
