"""Share between the processes of a cluster: topics, requests to many, leadership, locks, state.

Who passes on what a process publishes?

* ``bus`` is what a program calls; ``exchange`` is the middle, in the primary; ``sides`` and ``verbs`` lead there.
* ``subscriptions`` delivers in each process; ``groups`` and ``group_desk`` pass on what members of a group post.
* ``store`` keeps state: in ``lmdb_engine`` on one host, in ``redis_engine`` on a server; ``engines`` chooses.
* ``leader``, ``lock`` and ``once`` ask in a worker; ``leader_desk``, ``lock_desk``, ``once_desk`` grant.
* ``durable``, ``streams`` and ``consumer`` lose nothing; ``bridge``, ``carrier``, ``far`` reach other hosts.
"""
