"""Share between the processes of a cluster: topics, requests to many, leadership, locks, state.

Who passes on what a process publishes?

* ``bus`` is what a program calls; ``worker_side`` and ``direct_side`` lead to the ``exchange`` in the primary,
  where ``verbs`` are found and ``fan_out`` passes it on.
* ``subscriptions`` delivers in each process; ``groups`` and ``group_desk`` pass on what members of a group post.
* ``store`` keeps state: in ``lmdb_engine`` on one host, in ``redis_engine`` on a server; ``engines`` chooses.
* ``leader``, ``lock`` and ``once`` ask in a worker; ``leader_desk``, ``lock_desk``, ``once_desk`` grant.
* ``durable``, ``streams`` and ``consumer`` lose nothing; ``bridge``, ``carrier``, ``remote`` reach other hosts.
"""
