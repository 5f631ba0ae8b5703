"""Deal connections: from the listening socket to the worker that serves it.

Where is a connection dealt?

* ``listener`` accepts it, ``dispatcher`` hears what happens, ``dealing`` chooses a worker by a policy
  of ``policies`` and offers the connection, ``queues`` keeps what waits.
* ``engine`` knows the workers that join, leave and are lost; ``open_offers`` offers them connections, finds out what is
  taken, and takes back the rest; ``offers`` puts a connection into a channel, or takes it out.
* ``dealer`` is what the arbiter calls; ``dealing_thread`` and ``dealing_loop`` run the engine beside it.
* ``dealt_in_c`` leaves to C what is ordinary; ``standby`` deals while Python cannot.
* ``taken_edges`` tells what was taken; ``untaken_offers`` moves what was not, as ``stuck_offers`` judges.
* ``turns`` and ``ahead`` keep workers in step; ``holding_back`` and ``queue_watch`` mind what waits.
* ``worker_packets`` reads what workers say, ``worker_notices`` acts on it.
* In the worker ``taking_end`` and ``receiver`` take it; ``handed`` and ``outbound`` pass on what is another worker's,
  which ``given_back`` deals again.
"""
