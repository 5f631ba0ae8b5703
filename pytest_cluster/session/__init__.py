"""Runs a pytest session: parameters, reuse of clusters, comparison, summary."""
