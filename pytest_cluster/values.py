"""Name the values that belong to the test or its application, and that the plugin only carries.

They are ``Any`` on purpose: with ``object`` each test would have to cast what its own function has returned.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Json", "Message", "Pickled"]

Pickled: TypeAlias = Any
"""An argument or a result of a call into another process."""
Message: TypeAlias = Any
"""A message between primary and workers: JSON, or more where the cluster's serialization carries more."""
Json: TypeAlias = Any
"""The body of a request or an answer."""
