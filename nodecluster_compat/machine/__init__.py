"""Wrap what Linux gives: sockets, descriptors, memory, processes, systemd.

Which rule of the system is kept where?

* Sockets: ``binding``, ``socket_path`` and ``tcp_address`` make them; ``accept_errors``, ``backlog``, ``peeking``,
  ``quiesce``, ``unarrived`` and ``letting_go`` are their life; ``unpaced`` spares clients of this host a pace;
  ``socket_objects`` leave the mode of a shared one alone; ``spare_descriptors`` are kept for when none is left.
* Forks: ``forked_child`` and ``helper_thread`` on either side of one; ``frozen``, ``immortal`` and ``kept_memory`` keep
  memory shared, or at hand.
* Shared memory: ``sealed_memory`` and ``nameless_file`` make it; in it are ``heartbeat``, ``notebook``,
  ``members_table``, ``said_once`` and ``shared_number``.
* Processes: ``process_state``, ``process_usage``, ``thread_states`` and ``out_of_memory`` look at others; ``children``
  waits for them; ``process_title`` names this one, ``last_words`` ends it.
* Disks and terminals: ``background`` and ``outlet`` wait for neither; ``state_folder`` is in memory.
"""
