"""Count what workers do, in memory that outlives them, and say it as metrics."""
