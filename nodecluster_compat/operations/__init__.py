"""Show a running cluster to operators and tests, and steer it.

Who answers ``nodeclusterctl``?

* ``door`` accepts its clients in the primary, ``door_client`` serves one, ``control_frames`` cuts what it sends.
* ``orders`` carries out ``cluster VERB``; ``routes`` answers paths by HTTP, ``page`` is the one at ``/``.
* ``status_document`` writes the status down, ``status_file`` keeps it in a file; ``chronicle`` has the last events.
* ``journal`` tells a test everything; ``log_writer``, ``log_queue`` and ``log_thread`` write the primary's log.
* ``metrics`` counts in the workers and adds up in the primary.
"""
