"""Manage the clusters of a pytest session: parameters, reuse, comparison, summary."""
