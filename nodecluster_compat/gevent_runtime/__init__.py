"""Run a worker on gevent, and scripts: the only package, beside the gunicorn glue, that may import gevent.

Where does gevent wait, and for what?

* ``reactor`` runs channels and timers on the hub; ``patching`` makes a worker cooperative, ``forked_hub`` leaves
  the hub in a child.
* ``greenlet_pool`` and ``at_once`` start a connection's greenlet, ``late_greenlets`` ends one that takes too long, and
  ``greenlet_stacks`` shows all.
* ``client_socket``, ``turn_writer``, ``idle_limit``, ``lingering`` and ``client_gone`` are the life of a connection.
* ``script`` runs a program; ``uncaught`` and ``keep_alive`` say when it ends, ``servers`` are those that it makes.
"""
