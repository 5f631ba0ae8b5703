"""Keep the life of workers: states, generations, restarts.  Pure."""
