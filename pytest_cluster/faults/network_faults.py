"""Put a bad network between the clients of a cluster and its server."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import FaultError, OptionError
from ..journal.entries import JournalEntry
from ..options.checks import check_count, check_seconds
from .machine_faults import MachineFaults
from .message_faults import check_share
from .network_plan import Conditions

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypedDict, Unpack

    from .tcp_proxy import TCPProxy

    class ConditionKeywords(TypedDict, total=False):
        """The keywords of :class:`Conditions`."""

        delay: float
        jitter: float
        loss: float
        refuse: float
        cut_after: int | None
        silent: bool
        seed: int


__all__ = ["Network", "NetworkFaults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class Network:
    """A network that is as bad as the test wants it, between the clients of a cluster and its server.

    The cluster's clients go by it as long as its block lasts; anybody else who takes a URL does by :attr:`url`.
    """

    def __init__(self, proxy: TCPProxy, note: Callable[[str], object]) -> None:
        self._proxy = proxy
        self._note = note

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._proxy.address[0]

    @property
    def port(self) -> int:
        """The port, which the kernel has chosen."""
        return self._proxy.address[1]

    @property
    def url(self) -> str:
        """Without a slash at the end; for a server with TLS it is ``https`` on the same port."""
        return f"http://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many there were so far."""
        return self._proxy.connections

    def change(self, **conditions: Unpack[ConditionKeywords]) -> None:
        """Be otherwise from now on: the keywords of :meth:`NetworkFaults.network`; the others stay as they are.

        :raises OptionError: something of that cannot be.
        """
        changed = _checked(self._proxy.conditions, dict(conditions))
        self._note(f"network: {changed}")
        self._proxy.conditions = changed

    def cut(self) -> None:
        """Reset every connection that there is."""
        self._note("network: every connection cut")
        self._proxy.cut()

    def __repr__(self) -> str:
        return f"<network at {self.url}: {self._proxy.conditions}>"


class NetworkFaults(MachineFaults):
    """The faults between clients and the server."""

    @contextlib.contextmanager
    def network(self, **conditions: Unpack[ConditionKeywords]) -> Iterator[Network]:
        """Let the cluster's clients go by a bad network, for the time of a block.

        ``delay``, ``jitter``
            seconds that everything takes longer, in each direction.
        ``loss``
            the share of segments that are lost, 0 to 1; TCP sends them again after 0.2 s, 0.4 s, …
        ``refuse``
            the share of connections that are reset as soon as they are made, 0 to 1.
        ``cut_after``
            bytes of answers after which a connection is reset.
        ``silent``
            nothing gets through, and nobody is told; what was sent comes when it is over.
        ``seed``
            of all that is by chance: the same for the same connections.

        :return: the network, which can be changed, and connections on it cut.
        :raises OptionError: something of that cannot be.
        :raises FaultError: the cluster has not been started yet, or goes by such a network already.
        """
        detour = self._server.detour
        wanted = _checked(Conditions(), dict(conditions))
        if detour.goal is None or detour.via is not None:
            why = "has not been started yet" if detour.goal is None else "goes by a network already: change() that"
            raise FaultError(f"the cluster {why}")
        from .tcp_proxy import TCPProxy  # asyncio: only for who needs it

        try:
            proxy = TCPProxy(detour.goal, wanted)
        except OSError as error:
            raise FaultError(f"network: there is no place for it to listen: {error}") from None
        entry = self._note_network(f"network: {wanted}", lasts=True)

        def end() -> None:
            detour.via = None
            proxy.close()
            self._server.journal.note_fault(0, None, f"end of {entry.detail}", harmless=True, end_of=entry.seq)

        with self._undo_stack.after(end):
            detour.via = proxy.address
            yield Network(proxy, self._note_network)

    def _note_network(self, detail: str, *, lasts: bool = False) -> JournalEntry:
        self._count()
        return self._server.journal.note_fault(0, None, detail, harmless=True, lasts=lasts)


_NAMES = tuple(each.name for each in dataclasses.fields(Conditions))


def _checked(before: Conditions, changes: dict[str, object]) -> Conditions:
    unknown = sorted(set(changes) - set(_NAMES))
    if unknown:
        raise OptionError(f"network: unknown keyword {', '.join(map(repr, unknown))}; valid are {', '.join(_NAMES)}")
    for name in ("delay", "jitter"):
        check_seconds(f"network({name})", changes.get(name, 0.0))
    for name in ("loss", "refuse"):
        check_share(f"network({name})", changes.get(name, 0.0))
    if changes.get("cut_after") is not None:
        check_count("network(cut_after)", changes["cut_after"], 0)
    if not isinstance(changes.get("silent", False), bool):
        raise OptionError(f"network(silent): expected True or False, got {changes['silent']!r:.100}")
    check_count("network(seed)", changes.get("seed", 0), 0)
    return dataclasses.replace(before, **changes)  # type: ignore[arg-type]
