"""Serve on threads: gunicorn's ``gthread``, fed by the primary."""
