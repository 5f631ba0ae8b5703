"""Isso: comments, on SQLite."""

import os

with open("isso.cfg", "w") as config:
    config.write(
        f"[general]\ndbpath = {os.getcwd()}/comments.db\nhost = http://example.test/\nmax-age = 15m\n"
        "[guard]\nenabled = false\n[server]\ntrusted-proxies =\n"
    )
os.environ["ISSO_SETTINGS"] = os.path.abspath("isso.cfg")

from isso import config as settings
from isso import make_app
from isso.config import default_file

app = make_app(settings.load(default_file(), os.environ["ISSO_SETTINGS"]))


def prepare() -> None:
    """The database is made by the application itself."""
