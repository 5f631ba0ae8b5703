"""Run a kind of worker: the only package, beside the gunicorn glue, that may import gevent."""
