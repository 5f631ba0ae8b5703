"""Run a worker on asyncio: reactor, timers, idle connections, lifespan, tasks; no gunicorn, no gevent."""
