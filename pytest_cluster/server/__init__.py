"""Starts the server of a cluster, watches it, and ends it without a leak."""
