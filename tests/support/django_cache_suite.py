"""Django's own tests of a cache backend, for the cluster's: copied into ``tests/cache`` of Django's sources to run."""

from __future__ import annotations

from cache.tests import BaseCacheTests, caches_setting_for_tests  # type: ignore[import-not-found]
from django.core.cache import caches
from django.test import TestCase, override_settings

BACKEND = "nodecluster_compat.adapters.django_cache.ClusterCache"
# As for its Redis backend: the one cache that culls by MAX_ENTRIES, which a store that is bounded by itself does not.
NO_CULLING = {"cull", "zero_cull"}


@override_settings(CACHES=caches_setting_for_tests(BACKEND=BACKEND, exclude=NO_CULLING))
class ClusterCacheTests(BaseCacheTests, TestCase):  # type: ignore[misc]
    """Every test that all backends have in common."""

    def tearDown(self) -> None:
        for cache in caches.all():
            cache.clear()
