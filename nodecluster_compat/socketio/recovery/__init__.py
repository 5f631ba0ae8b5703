"""Recover what a client had when its connection broke: its id, its rooms, and the packets that it missed.

What is kept, and who gives it back?

* ``memory`` keeps it for one worker: ``sessions``, a ``packet_log``, and ``offsets`` that say how far a client has got.
* ``keeping`` has other workers keep it as well, by ``telling``.
* ``claims`` gives a session to the client that comes back, ``reservations`` to the first of several.
* ``hooks`` joins that with python-socketio, in ``waiting`` servers and in ``awaiting`` ones.
"""
