"""Hold what every other folder builds on: records, the log, the emitter, the loop."""
