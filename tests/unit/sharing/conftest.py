"""What tests of this folder share."""

from __future__ import annotations

from small_store import folder, store

__all__ = ["folder", "store"]
