"""Run a worker on asyncio: reactor, timers, idle connections, lifespan, tasks; no gunicorn, no gevent.

* ``reactor`` runs channels, timers and handlers on the loop, ``forked_loop`` leaves it in a child.
* ``opening``, ``idle_connections``, ``last_frames``, ``goodbye`` and ``relaying`` are the life of a connection.
* ``lifespan`` tells the application of its own; ``task_stacks`` says what it is doing.
"""
