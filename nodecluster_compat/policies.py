"""Export the policies that take arguments: ``Weighted``, ``ClientAddress``.

``cluster.setup_primary(policy=Weighted(3, 1))`` in ``gunicorn.conf.py``; ``docs/routing.md`` says which one to take.
"""

from __future__ import annotations

from .connections.policies import ClientAddress, Weighted, WorkerView

__all__ = ["ClientAddress", "Weighted", "WorkerView"]
