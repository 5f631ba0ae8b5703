"""Every portable test of Node's own has its counterpart here, which asserts as much or says what it leaves out."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent

AS_THEY_ARE = (
    "basic bind-privileged-port bind-twice call-and-destroy child-index-net concurrent-disconnect "
    "disconnect-before-exit disconnect-exitedAfterDisconnect-race disconnect-idle-worker disconnect-leak "
    "disconnect-race disconnect-unshared-tcp disconnect-with-no-workers disconnect eaccess eaddrinuse "
    "fork-env invalid-message kill-disconnect kill-infinite-loop listening-port message "
    "net-listen-ipv6only-false net-listen net-reuseport net-server-drop-connection primary-error primary-kill "
    "process-disconnect server-restart-none server-restart-rr setup-primary-cumulative setup-primary-emit "
    "setup-primary-multiple shared-handle-bind-error shared-handle-bind-privileged-port shared-leak "
    "worker-death worker-destroy worker-disconnect-on-error worker-disconnect worker-exit worker-forced-exit "
    "worker-init worker-isconnected worker-isdead worker-kill-signal worker-kill worker-wait-server-close "
    "net-listen-ipv6only-none net-listen-ipv6only-rr port-reuse-between-workers listen-twice-same-port "
    "rr-ref rr-handle-ref-unref rr-handle-close rr-handle-keep-loop-alive"
)
AS_THEY_ARE_ELSEWHERE = [
    "test-http-server-drop-connections-in-cluster",
    "test-listen-fd-cluster",
    "test-net-listen-exclusive-random-ports",
    "test-net-listen-shared-ports",
]
ADAPTED = (
    "accept-fail advanced-serialization child-index-dgram cwd dgram-1 dgram-2 dgram-bind-fd dgram-ipv6only "
    "dgram-reuse dgram-reuseport disconnect-unshared-udp fork-stdio http-pipe ipc-throw "
    "listen-pipe-readable-writable net-listen-backlog net-listen-relative-path net-send "
    "send-deadlock send-handle-twice send-socket-to-worker-http-server "
    "setup-primary-argv setup-primary uncaught-exception worker-constructor worker-events worker-handle-close "
    "worker-no-exit send-handle-large-payload"
)
ADAPTED_ELSEWHERE = [
    "test-dgram-bind-shared-ports-after-port-0",
    "test-child-process-fork-closed-channel-segfault",
    "test-dgram-bind-socket-close-before-cluster-reply",
    "test-dgram-cluster-bind-error",
    "test-dgram-cluster-close-during-bind",
    "test-dgram-cluster-close-in-listening",
    "test-dgram-exclusive-implicit-bind",
    "test-net-listen-handle-in-cluster-1",
    "test-net-listen-handle-in-cluster-2",
    "test-net-listen-twice",
    "test-net-server-close-before-ipc-response",
    "test-tls-ticket-cluster",
    "test-dgram-bind-shared-ports",
    "test-dgram-unref-in-cluster",
    "test-net-socket-constructor",
    "fixtures/cluster-preload",
]


def test_every_portable_behaviour_has_a_test() -> None:
    """The names in the docstrings are the names in the inventory."""
    text = "".join(path.read_text() for path in sorted(HERE.glob("test_*.py")) if path.name != Path(__file__).name)
    text = re.sub(r"(test-[\w-]+?)-1 and -2", r"\1-1, \1-2", text)
    text = re.sub(r"(test-[\w-]+?)-rr and -none", r"\1-rr, \1-none", text)
    wanted = {f"test-cluster-{name}" for name in f"{AS_THEY_ARE} {ADAPTED}".split()}
    wanted |= {*AS_THEY_ARE_ELSEWHERE, *ADAPTED_ELSEWHERE}
    missing = sorted(name for name in wanted if not re.search(rf"{name}(?![\w-])", text))
    assert missing == []


def test_the_counts_are_those_that_are_published() -> None:
    """61 and 45 of Node's 117."""
    assert len(AS_THEY_ARE.split()) + len(AS_THEY_ARE_ELSEWHERE) == 61
    assert len(ADAPTED.split()) + len(ADAPTED_ELSEWHERE) == 45
    page = " ".join((HERE.parents[1] / "docs" / "porting.md").read_text().split())
    assert "Of the 117 tests of Node's own that use `cluster`, 106 make sense outside Node" in page
    assert "(61 as they are, 45 adapted)" in page
