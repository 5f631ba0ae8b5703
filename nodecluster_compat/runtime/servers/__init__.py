"""Serve ``http``, ``net`` and ``dgram`` servers in script mode."""
