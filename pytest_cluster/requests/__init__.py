"""Send requests to a cluster and count the answers."""
