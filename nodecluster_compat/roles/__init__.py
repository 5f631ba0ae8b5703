"""Play the two roles of a process: the primary, and a worker.

What does ``cluster.…`` do?

* ``cluster`` is the object, of ``cluster_setup``, ``cluster_settings``, ``cluster_timers`` and ``cluster_sharing``.
* ``primary`` plays that role: ``inbound`` acts on what workers send, ``departures`` sees them off, ``worker_events``
  keeps the order of events, and ``waiting`` says who may wait there.
* ``worker_handle`` and ``worker_process`` show a worker to it; ``this_worker`` and ``process`` show it to itself, with
  its signals (``process_signals``) and its end (``exit_event``) as events.
* ``worker_line`` is the worker's end of the line, and ``worker_messages`` what a program says on it; ``requests`` pairs
  requests and replies on both ends, and ``answers`` waits for one.
* ``settings`` checks what ``cluster_settings`` was given, ``spawn_settings`` what is for the next worker;
  ``_gunicorn/arbiter/current_settings`` reads what is in force.
* ``status`` defines what a program may ask.
"""
