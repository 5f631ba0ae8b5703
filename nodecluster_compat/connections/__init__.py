"""Deal connections: from the listening socket to the worker that serves it.

Where is a connection dealt?

* ``listener`` accepts it, ``dispatcher`` chooses its worker by a policy of ``policies``, ``queues`` keeps what waits.
* ``engine`` joins these with the workers' channels; ``offers`` puts a connection into a channel and takes it back.
* ``dealer`` is what the arbiter calls; ``dealing_thread`` and ``dealing_loop`` run the engine beside it.
* ``dealt_in_c`` leaves to C what is ordinary; ``standby`` deals while Python cannot.
* In the worker ``receiver`` takes it; ``handed`` and ``outbound`` pass on what is another worker's, and ``given_back``
  deals that again.
"""
