"""Serve as gunicorn's worker class: ``-k nodecluster_compat.Worker``."""
