"""Gives a test its cluster: start it, look at it, change it."""
