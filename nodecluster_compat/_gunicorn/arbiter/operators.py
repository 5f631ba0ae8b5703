"""Seat what operators use in an arbiter: orders, routes, the chronicle and the control socket, wired to each other.

A capability that adds an order or a page registers it here: ``operators.orders.on(...)``, ``operators.routes.on(...)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ...machine.process_title import ProcessTitle
from ...operations.chronicle import Chronicle
from ...operations.door import Door
from ...operations.orders import Orders
from ...operations.page import Page
from ...operations.routes import Routes
from .admin_keeper import AdminKeeper
from .asking_orders import AskingOrders
from .control_commands import ControlCommands
from .door_keeper import DoorKeeper
from .metrics_page import MetricsPage
from .request_orders import RequestOrders
from .steering_orders import SteeringOrders
from .worker_orders import WorkerOrders

if TYPE_CHECKING:
    from ...lifecycle.rollout import ReloadReport
    from ...machine.background import Background
    from ...operations.metrics.ledger import Ledger
    from ...roles.status import ClusterState, ClusterStatus
    from ..gunicorn_types import GunicornWorker
    from .exit_history import ExitHistory
    from .health import Health
    from .judging import Judge
    from .reloading import Reloader
    from .seat import Seat
    from .status_board import StatusBoard
    from .upgrading import Upgrade

__all__ = ["Operators"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, as its operators see it."""

        background: Background
        board: StatusBoard
        exits: ExitHistory
        health: Health
        judge: Judge
        ledger: Ledger
        reloader: Reloader
        upgrade: Upgrade
        proc_name: str
        reexec_pid: int
        master_pid: int
        WORKERS: dict[int, GunicornWorker]

        @property
        def starts_no_more(self) -> bool:
            """Whether the server is about to end."""

        def status(self) -> ClusterStatus:
            """Return how the cluster is."""

        def scale(self, workers: int) -> None:
            """Have so many workers from now on."""

        def wakeup(self) -> None:
            """Let the main loop take another turn."""

        def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
            """Reload on the next turn."""

        def handle_usr1(self) -> None:
            """Open the log files again."""

        def reopen_own_logs(self) -> None:
            """Open the log files of this process again, and tell nobody."""


class Operators:
    """Wires what operators use of one arbiter.

    Attributes:
        orders: the ``cluster`` commands; a door for capabilities.
        routes: what can be read by HTTP; likewise.
        chronicle: the last things that happened.
    """

    def __init__(self, arbiter: _Seat) -> None:
        self._arbiter = arbiter
        self.orders = Orders()
        self.routes = Routes()
        self.chronicle = Chronicle(arbiter.loop)
        arbiter.primary.taps.append(self.chronicle.worker_event)
        arbiter.health.on_change = self.chronicle.loop_changed
        AskingOrders(arbiter, self.chronicle, self.orders, self.routes)
        SteeringOrders(arbiter, self.orders)
        RequestOrders(arbiter, self.orders)
        MetricsPage(arbiter, self.routes)
        self.routes.on("/", Page().answer)
        WorkerOrders(arbiter, self.orders)
        self._what = "master" if arbiter.is_supervised else "primary"
        self._title = ProcessTitle("gunicorn" if arbiter.is_supervised else "nodecluster")
        self._commands = ControlCommands(arbiter, self.orders)
        door = Door(arbiter.loop, arbiter.log, self._commands.carry_out, self.routes)
        self._keeper = DoorKeeper(arbiter, arbiter.upgrade, door)
        self._admin = AdminKeeper(arbiter, arbiter.upgrade, self.routes)

    def begin_title(self) -> None:
        """Say who this is in the list of processes, where nobody has; gunicorn does by itself."""
        self._title.begin(f"{self._what} [{self._arbiter.proc_name}]")

    def begin(self) -> None:
        """Be there before the first worker is forked: a boot that hangs is when it is needed."""
        self._keeper.begin()
        self.turn()

    def turn(self) -> None:
        """Once a turn of the main loop: keep the door, and note what has changed."""
        self._keeper.turn()
        self._admin.turn()
        headline = self._arbiter.board.headline
        self.chronicle.look(*headline)
        self.show(headline[0])

    def show(self, state: ClusterState) -> None:
        """Say in the list of processes how the cluster is, after the title that monitoring looks for."""
        title = f"{self._what} [{self._arbiter.proc_name}]"
        self._title.say(title if state == "running" else f"{title} {state}")

    def close(self) -> None:
        """The server has ended: nobody asks it anything any more."""
        self._keeper.close()
        self._admin.close()

    def abandon(self) -> None:
        """In a forked child: all this is the parent's."""
        self._keeper.abandon()
        self._admin.abandon()
        self._commands.abandon()
