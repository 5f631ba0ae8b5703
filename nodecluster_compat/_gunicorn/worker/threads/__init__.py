"""Serve on threads: gunicorn's ``gthread``, fed by the primary.

* ``worker`` is gunicorn's, extended; ``main_thread`` is how other threads reach the one that turns.
* ``sources`` brings connections, each a ``client_connection``; ``connections`` says which of them has a thread.
* ``requests`` answers on a thread, ``late_requests`` where that takes too long.
* ``client_waits`` is how it waits, ``connection_ends`` how it ends: as ``arrived_bytes`` says, or as
  ``ended_websockets`` does.
"""
