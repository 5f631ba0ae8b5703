"""The engine with workers that route: what they hand on arrives, whole and once, or is dealt to somebody."""

from __future__ import annotations
