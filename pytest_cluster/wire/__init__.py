"""Talk to the agents inside a cluster's processes."""
