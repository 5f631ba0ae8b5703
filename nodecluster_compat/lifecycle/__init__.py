"""Keep the life of workers: states, generations, restarts.  Pure.

Where is a worker in its life?

* ``states`` is the table of them; ``registry`` knows the workers by id, ``roster`` by age, slot and generation.
* ``recycling``, ``loop_lag`` and ``saturation`` find those that are due, stuck or full.
* ``steps`` says how many to start and to retire; ``rollout`` follows a reload.
* ``way_out`` follows a worker that leaves, ``endings`` judges its end, ``restarts`` says when another may start.
"""
