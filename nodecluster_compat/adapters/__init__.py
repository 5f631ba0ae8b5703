"""Offer the cluster's store where libraries have an interface for one: ``limits``, Django's cache, ``cachelib``."""
