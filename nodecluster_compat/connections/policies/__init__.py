"""Choose the worker for each connection: one small class per policy, behind one protocol."""

from __future__ import annotations

from .base import ANYBODYS, ASKED, BUILT_IN, AskedFunction, Function, Policy, PolicyFactory, Workers, WorkerView
from .guarded import GuardedPolicy
from .round_robin import RoundRobin
from .setting import ClientAddress, Weighted, policy_of

__all__ = [
    "ANYBODYS",
    "ASKED",
    "BUILT_IN",
    "AskedFunction",
    "ClientAddress",
    "Function",
    "GuardedPolicy",
    "Policy",
    "PolicyFactory",
    "RoundRobin",
    "Weighted",
    "WorkerView",
    "Workers",
    "policy_of",
]
