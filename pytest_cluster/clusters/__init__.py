"""Give a test its cluster: start it, read its state, change it."""
