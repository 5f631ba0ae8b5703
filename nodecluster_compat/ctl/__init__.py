"""Ask and steer a running server from a terminal: the command ``nodeclusterctl``.

* ``main`` finds the server and runs one of the ``commands``, whose ``arguments`` are in a file of their own.
* ``client`` talks to the control socket; ``waiting`` waits for the end of what was begun.
* ``tables``, ``profiles`` and ``output`` write what was found; ``top`` shows it live.
"""
