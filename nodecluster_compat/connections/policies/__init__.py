"""Choose the worker for each connection: one small class per policy, behind one protocol."""

from __future__ import annotations

from .base import Policy, PolicyFactory
from .guarded import GuardedPolicy
from .round_robin import RoundRobin

__all__ = ["GuardedPolicy", "Policy", "PolicyFactory", "RoundRobin"]
