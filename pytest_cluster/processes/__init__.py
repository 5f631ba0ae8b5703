"""Reach into the processes of a cluster: the primary and its workers."""
