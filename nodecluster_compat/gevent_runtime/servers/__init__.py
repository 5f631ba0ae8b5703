"""Serve ``http``, ``net`` and ``dgram`` servers in script mode.

Where does a server get its socket?

* ``net_server``, ``http_server`` and ``udp_socket`` are what a program makes, on ``server_base`` and its ``states``.
* ``listen_options``, ``datagram_arguments``, ``connection_options`` and ``host_names`` read arguments as Node does.
* ``servers_in_process`` is what they ask of their process: ``servers_in_worker`` has the primary bind,
  ``servers_in_primary`` and ``local_socket`` bind here.
* ``served_connections`` serves what comes.
"""
