"""Serve HTTP requests through gunicorn's parsers and responses.

Who serves a request?

* ``ways`` decides: the loop of clean requests (``clean_loop``, ``clean_connection``), or gunicorn (``http_worker``).
* ``clean_reader`` and ``clean_head`` read it, within ``head_limits``; ``environs`` makes its environ, ``responses``
  sends the answer.
* ``passage`` hands it to the worker that it belongs to, if that is another one.
* ``refusals`` and ``http2_refusals`` refuse what the newest gunicorn refuses; ``http2_ends`` says GOAWAY.
* ``metering`` counts it, ``request_ids`` names it, ``access_log`` writes it down.
* ``late_answers`` answers for a request that overruns its limit; ``gevent_runtime/late_greenlets`` ends it, or
  ``worker/threads/late_requests``, or ``worker/asgi/late_requests``, by ``base/time_limits``.
"""
