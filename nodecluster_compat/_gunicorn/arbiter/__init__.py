"""Extend gunicorn's arbiter: fork, reap, reload, stop, supervise.

Why was a worker replaced?

* It fell due: too old, too large, enough requests served.  ``recycler``, by the rules of ``lifecycle/recycling``.
* It failed.  ``judging`` says whether its end was a fault, ``lifecycle/restarts`` when the next one may start.
* It overran a limit: of booting or leaving in ``worker_limits``, gunicorn's ``--timeout`` in ``health``.
* A reload or a smaller number of workers retired it.  ``reloading``, by the rules of ``lifecycle/steps``.
* It was asked to leave, or left by its own wish.  ``roles/primary`` and ``roles/inbound``.

``entry.way_out`` (``lifecycle/way_out``) has the reason in words, ``reaping`` tells the end step by step.
"""
