"""Show a server live in a terminal, and steer it by keys: ``nodeclusterctl top``.

Pure modules compute the rates between two statuses (``rates``), the screen (``screen``, ``columns``), and what a key
does (``keys``, ``session``).  The terminal (``terminal``) and the server (``status_feed``) are thin; ``program`` joins
them.
"""
