"""Wrap what Linux gives: sockets, descriptors, memory, processes, systemd."""
