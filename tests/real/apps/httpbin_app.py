"""httpbin: whatever HTTP can ask for."""

from httpbin import app

__all__ = ["app"]
