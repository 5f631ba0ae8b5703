"""Run a worker on threads: what it waits in, its pool, its stacks.  Knows neither gunicorn nor gevent.

Where do threads wait?

* ``poller`` waits for descriptors; ``reactor`` runs channels, timers and handlers by it; ``pool`` runs jobs.
* ``stacks`` says what threads are doing; ``limit_watch`` finds requests that overrun their limit.
* ``tls_socket`` lets several threads write to one connection; ``relaying`` passes on what TLS holds here.
"""
