"""Which sockets threads may write to in turn; tests/processes has clients that read."""

from __future__ import annotations

import ssl

from nodecluster_compat.thread_runtime.tls_socket import let_threads_write


def test_a_socket_of_a_class_of_the_programs_own_is_left_alone() -> None:
    class Own(ssl.SSLSocket):
        pass

    sock = Own.__new__(Own)
    let_threads_write(sock)
    assert type(sock) is Own
