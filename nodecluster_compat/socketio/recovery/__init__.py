"""Recover what a client had when its connection broke: its id, its rooms, and the packets that it missed."""
