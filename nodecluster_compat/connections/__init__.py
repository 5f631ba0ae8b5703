"""Deal connections: from the listening socket to the worker that serves it."""
