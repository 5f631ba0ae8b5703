"""Serve HTTP requests through gunicorn's parsers and responses."""
