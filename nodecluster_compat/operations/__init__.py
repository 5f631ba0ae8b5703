"""Show a running cluster to operators and tests, and steer it."""
