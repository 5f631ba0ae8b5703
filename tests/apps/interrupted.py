"""Raises what Ctrl-C raises, when it is imported."""

raise KeyboardInterrupt
