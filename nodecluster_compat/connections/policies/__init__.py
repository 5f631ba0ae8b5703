"""Choose the worker for each connection: one small class per policy, behind one protocol.

Where is a policy added?

* ``base`` has the protocol: what a policy is asked, and what it sees of the workers.
* ``setting`` makes a policy of what a program or the environment says: add yours there.
* ``round_robin``, ``least_connections``, ``random_of_two``, ``weighted`` and ``client_address`` are built in.
* ``by_function`` asks a program's own function; ``guarded`` falls back to round robin when a policy raises.
"""

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
