"""Apply the settings in force to the dealer: its policy, and the keys by which it peeks at new connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import SettingsError
from .complaint import Complaint
from .dealing_settings import check_dealing, client_of, policy_in_force, routing_in_force
from .peeked_keys import PeekedKeys

if TYPE_CHECKING:
    from .seat import Seat

__all__ = ["DealingRules"]


class DealingRules:
    """How the connections of one arbiter are dealt.

    Args:
        arbiter: whose they are.
    """

    def __init__(self, arbiter: Seat) -> None:
        self._arbiter = arbiter
        self._keys: object = self  # no keys at all, so that the first are applied
        self._policy: object = None
        self._complaint = Complaint(arbiter.log.error)

    def apply(self) -> None:
        """Deal as the settings say now; they may have changed.

        Raises:
            SettingsError: they say what is no policy, or no keys.
        """
        check_dealing()
        arbiter, keys, policy = self._arbiter, routing_in_force(), policy_in_force()
        dealer = arbiter.primary.dealer
        if policy is not self._policy:
            self._policy = policy
            dealer.use_policy(policy)
            dealer.name_clients_by(client_of(policy, arbiter.cfg, arbiter.LISTENERS))
        if keys is not self._keys:
            self._keys = keys
            peeked = PeekedKeys(dealer.members, keys, dealer.later_log)
            dealer.peek_by(None if peeked.sees_nothing else peeked)

    def turn(self) -> None:
        """Once a turn of the main loop: the same, or as before where the settings say what cannot be.

        A start and a reload have checked them, but a program may change them, and its environment, at any time.
        """
        try:
            self.apply()
        except SettingsError as error:
            self._complaint.say(f"Connections are dealt as before: {error}")
        else:
            self._complaint.withdraw()
