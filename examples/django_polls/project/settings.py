"""Settings of the polls: the database and the cache are files, which all workers share."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("POLLS_FOLDER", Path(__file__).parents[1]))

SECRET_KEY = os.environ.get("POLLS_SECRET", "the same in every worker")
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["polls"]
ROOT_URLCONF = "polls.urls"
WSGI_APPLICATION = "project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "polls.sqlite",
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
# LocMemCache, which is Django's default, would be one cache for each worker.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": FOLDER / "cache"},
}
