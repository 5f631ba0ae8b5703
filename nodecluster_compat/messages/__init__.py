"""Carry messages: from ``send()`` to bytes on a channel, and back."""
