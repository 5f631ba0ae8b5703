"""How a kind of worker runs: the only package, beside the gunicorn glue, that may import gevent."""
