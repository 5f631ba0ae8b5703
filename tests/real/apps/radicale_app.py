"""Radicale: calendars in files, with a login."""

import os

from radicale.app import Application
from radicale.config import load

with open("users", "w") as users:
    users.write("ann:secret\n")
settings = load()
settings.update(
    {
        "auth": {
            "type": "htpasswd",
            "htpasswd_filename": os.path.abspath("users"),
            "htpasswd_encryption": "plain",
            "delay": "0",
        },
        "storage": {"filesystem_folder": os.path.abspath("collections")},
    },
    "test",
)
app = Application(settings)
