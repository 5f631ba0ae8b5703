"""Has Node installed before the first test: that may take longer than a test should."""

from __future__ import annotations

import pytest
from node import NODE_VERSIONS, node


def pytest_collection_finish(session: pytest.Session) -> None:
    """Once for a machine, and only where a test runs it."""
    asked = any("test_node_itself" in item.nodeid or "test_original" in item.nodeid for item in session.items)
    if asked and not session.config.option.collectonly:
        for version in NODE_VERSIONS:
            node(version)
