"""An ASGI worker on a gunicorn that is too old: one sentence, at start, whatever that gunicorn lacks."""

from __future__ import annotations

import subprocess
import sys

import gunicorn
import pytest

from nodecluster_compat._gunicorn.worker.supported_gunicorn import refuse_older_gunicorn

SENTENCE = (
    "nodecluster-compat: expected gunicorn 27.0.1 or newer for ASGIWorker, got 26.2.0: upgrade gunicorn, or use "
    "nodecluster_compat.Worker, which runs with this one"
)
# As 26.2 is: names that modules of ours take from gunicorn are not there yet.
OLD = """
import sys
import gunicorn
import gunicorn.asgi.protocol as protocol
gunicorn.version_info, gunicorn.__version__ = (26, 2, 0), "26.2.0"
for name in ("_get_cached_date_header", "_get_cached_status_line", "_CACHED_SERVER_HEADER"):
    vars(protocol).pop(name, None)
sys.modules["gunicorn.asgi.parser"] = None
from gunicorn.app.wsgiapp import run
sys.argv = ["gunicorn", "-b", "127.0.0.1:0", "-k", "nodecluster_compat.ASGIWorker", "app:app"]
run()
"""


def test_older_gunicorn_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says from which version on, and what runs with the one that is there."""
    monkeypatch.setattr(gunicorn, "version_info", (26, 2, 0))
    monkeypatch.setattr(gunicorn, "__version__", "26.2.0")
    with pytest.raises(RuntimeError, match=SENTENCE.replace(".", r"\.")):
        refuse_older_gunicorn("ASGIWorker", (27, 0, 1))
    refuse_older_gunicorn("ThreadWorker", (24, 1, 1))


def test_nothing_else_is_said_of_it() -> None:
    """What an older gunicorn lacks is not looked for before."""
    done = subprocess.run([sys.executable, "-c", OLD], capture_output=True, text=True, check=False, timeout=50)
    assert (done.stdout, done.stderr.strip(), done.returncode) == ("", f"Error: {SENTENCE}", 1)
