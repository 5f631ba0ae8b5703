"""Extend gunicorn's arbiter: fork, reap, reload, stop, supervise."""
