"""Hold what every room stands on: records, the log, the emitter, the loop."""
