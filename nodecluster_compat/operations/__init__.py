"""Shows a running cluster to operators and tests, and steers it."""
