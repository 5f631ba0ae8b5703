"""What the processes of a cluster share: topics, requests to many, leadership, locks, state."""
