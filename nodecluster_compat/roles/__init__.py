"""Play the two roles of a process: the primary, and a worker."""
