"""Give a test its cluster: start it, read its state, change it.

What does a test hold?

* ``cluster`` is what the fixture gives: it scales, reloads, stops and calls; ``asked`` sends its requests, ``view`` has
  its state and its events.
* ``prepared`` is one that has not started yet; ``foreign`` is one that somebody else runs.
* ``readiness`` starts it and waits; ``changes`` checks what a reload or a scaling has changed.
* ``adaptors`` lets test clients ask it; ``nginx`` stands before it; ``chaos`` breaks it at each step of a scenario.
* ``factories`` has the types of the factories.
"""
