"""Sends requests to a cluster and counts the answers."""
