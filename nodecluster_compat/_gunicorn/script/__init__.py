"""Run script mode: the arbiter and the worker of ``nodecluster server.py``.

What differs from server mode?

* ``program`` runs the script as the primary, and ends as a program does; ``config`` reads gunicorn's settings.
* ``arbiter`` forks where the script asks, and serves until nothing is left; ``hosting`` answers for it that nobody is
  replaced.
* ``worker`` becomes the process that its settings describe, with its ``streams``; ``main_greenlet`` serves in it.
* ``ending`` ends a worker as Python ends a program, although it runs on the primary's stack.
"""
