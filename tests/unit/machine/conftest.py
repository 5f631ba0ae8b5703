"""What tests of this folder share."""

from __future__ import annotations

from state_folders import folder, home

__all__ = ["folder", "home"]
