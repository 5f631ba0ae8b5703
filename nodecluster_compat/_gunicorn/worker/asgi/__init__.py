"""Serve as gunicorn's ASGI worker, fed by the primary: ``-k nodecluster_compat.ASGIWorker``."""
