"""Hold what every other folder builds on: records, the log, the emitter, the loop.

Where is what knows nothing of clusters?

* ``emitter`` emits Node's events, which ``event_names`` knows; ``handler_calls`` runs their handlers, fitted
  by ``arity``.
* ``loop`` is the primary's, with its ``timers``; ``reactor`` says what a channel asks of any loop.
* ``records`` go from layer to layer, ``handlers`` are found by kind, ``native`` chooses between C and Python.
* ``log`` and ``later_log`` log, with ``one_line``, ``wall_time`` and ``stack_text``; ``json_text`` writes JSON.
* ``this_request`` speaks of the request that is served, by ``request_ids``, ``time_limits`` and ``weak_methods``.
* ``variables`` names the environment's; ``arguments`` and ``js_number`` check what a program gives.
"""
