"""Which idle worker gets the next connection: one small class per policy, behind one protocol."""

from __future__ import annotations

from .base import Policy
from .round_robin import RoundRobin

__all__ = ["Policy", "RoundRobin"]
