"""Start the server of a cluster, watch it, and end it without a leak."""
