"""Share between the processes of a cluster: topics, requests to many, leadership, locks, state."""
