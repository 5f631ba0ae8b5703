"""Serve as gunicorn's worker class: ``-k nodecluster_compat.Worker``.

What does a kind of worker add?

* ``fed_worker`` is what all kinds have in common, ``kind`` what one adds to it: an engine, and who serves.
* ``gevent_worker``, ``websocket_worker``, ``threads`` and ``asgi`` are the kinds.
* ``feed`` brings the connections that the primary deals, ``request_routing`` hands on what belongs to another worker.
* ``membership`` tells the primary how the worker goes, ``loop_beat`` shows that it lives, ``obeying`` what it is asked.
* ``leaving`` ends it, ``draining`` lets its connections end first.
"""
