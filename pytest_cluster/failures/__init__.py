"""Report a failed test: the cause, the timeline, logs, artefacts."""
