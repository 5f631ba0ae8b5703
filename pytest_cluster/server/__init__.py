"""Start the server of a cluster, watch it, and end it without a leak.

Where is a server started?

* ``server_process`` prepares, starts and stops it; ``command``, ``conf``, ``folder`` and ``prepared_files`` make what
  it needs; ``quick_end`` ends it after a failure.
* ``spawning`` starts the process: by its command, or forked (``fork_server``, ``template``, ``own_fork``).
* ``clusters/readiness`` waits until it is ready.
* ``logs``, ``stacks`` and ``exits`` explain what became of it.
* ``guard``, ``leaks``, ``stale`` and ``socket_files`` leave nothing behind, whatever ends pytest.
"""
