"""Count what workers do, in memory that outlives them, and say it as metrics.

Where is a request counted, and where is it read?

* ``request_meter`` counts in a worker, by the stores of ``request_stores`` into the ``layout`` of its memory;
  ``this_meter`` is the one of a process.
* ``counts`` reads one worker in the primary, ``ledger`` all of them, those that have ended too.
* ``shared_values`` and ``prometheus_values`` keep the application's own metrics there; ``application_values`` reads
  them, ``application_sum`` adds them up.
* ``cluster_families`` makes ``families`` of ``figures``, and ``exposition`` writes them.
"""
