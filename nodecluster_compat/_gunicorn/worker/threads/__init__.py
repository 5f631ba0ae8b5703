"""Serve on threads: gunicorn's ``gthread``, fed by the primary.

* ``worker`` is gunicorn's, extended; ``main_thread`` is how other threads reach the one that turns.
* ``sources`` brings connections, each a ``client_connection``; ``connections`` says which of them has a thread.
* ``requests`` answers on a thread, ``late_requests`` where that takes too long.
* ``arrived_bytes`` and ``ended_websockets`` are what a connection's end depends on.
"""
