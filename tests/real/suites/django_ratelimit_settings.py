"""The settings that django-ratelimit is developed with, as far as its tests need them: the sdist has none."""

import os

SECRET_KEY = "ratelimit"
INSTALLED_APPS = ["django_ratelimit"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
OWN = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "ratelimit-tests"}
SHARED = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": os.environ.get("SHARED_CACHE")}
CACHES = {
    "default": SHARED if SHARED["LOCATION"] else OWN,
    "connection-errors": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "connection-errors.invalid:11211",
    },
    "connection-errors-redis": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://connection-errors.invalid",
        "OPTIONS": {"IGNORE_EXCEPTIONS": True},
    },
    "instant-expiration": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}
RATELIMIT_USE_CACHE = "default"
