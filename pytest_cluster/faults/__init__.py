"""Inject faults: kill, pause, hold steps, make calls fail; and undo them.

Where is a fault injected?

* ``cluster_faults`` has all that a test can call; ``process_faults``, ``machine_faults``, ``network_faults``,
  ``message_faults`` and ``connection_faults`` are its parts.
* ``failpoints`` and ``armed_faults`` arm a step in the workers; ``gates`` waits for calls that are held there.
* In the workers ``inside/steps`` acts at a step, ``inside/delivery_faults`` at a message or a connection.
* ``injector`` notes each fault in the journal first, ``undo_stack`` undoes it.
* ``chaos_plan`` plans many of them from a seed; ``network_plan`` and ``tcp_proxy`` make a bad network.
"""
