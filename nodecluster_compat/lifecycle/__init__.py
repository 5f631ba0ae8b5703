"""Keep the life of workers: states, generations, restarts.  Pure.

Where is a worker in its life?

* ``states`` is the table of them; ``registry`` knows the workers by id, ``roster`` by age, slot and generation.
* ``recycling``, ``loop_lag`` and ``saturation`` find those that are due, stuck or full.
* ``steps`` says how many to start and to retire; ``rollout`` follows a reload.
* ``way_out`` follows a worker that leaves, ``endings`` judges its end, ``restarts`` says when another may start.

An end goes on in ``_gunicorn/arbiter``: ``worker_limits`` ends what is late, ``reaping`` makes ``exit`` of a wait
status, ``judging`` says what follows, ``exit_history`` remembers it.  ``roles/departures`` emits the events.
"""
