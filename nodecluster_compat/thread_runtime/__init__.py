"""Run a worker on threads: what it waits in, its pool, its stacks.  Knows neither gunicorn nor gevent."""
