"""Read the setting ``policy`` of ``cluster.setup_primary()``, and the variable ``NODECLUSTER_POLICY``.  Pure.

A policy is imported by whoever sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from ...errors import SettingsError
from .base import Policy, PolicyFactory, Workers
from .round_robin import RoundRobin

__all__ = ["ByFunction", "ClientAddress", "Weighted", "policy_of"]

_MOST_WEIGHT: Final = 1000


def _least_connections(workers: Workers) -> Policy:
    from .least_connections import LeastConnections

    return LeastConnections(workers)


def _random_of_two(workers: Workers) -> Policy:
    from .random_of_two import RandomOfTwo

    return RandomOfTwo(workers)


_NAMES: Final[Mapping[str, PolicyFactory]] = MappingProxyType(
    {"round_robin": RoundRobin, "least_connections": _least_connections, "random_of_two": _random_of_two}
)


@dataclass(frozen=True)
class Weighted:
    """A policy for ``setup_primary()``: round robin in proportion to weights.

    Args:
        weights: of the workers in slot 1, 2, ...; or by slot.  Those that are not named have 1.

    Raises:
        SettingsError: a weight is no whole number from 0 to 1000, or a slot none above 0.
    """

    weights: Mapping[int, int] = field(default_factory=dict)

    def __init__(self, *weights: Any) -> None:
        """As above."""
        by_slot = weights[0] if len(weights) == 1 and isinstance(weights[0], Mapping) else dict(enumerate(weights, 1))
        for slot, weight in by_slot.items():
            if type(slot) is not int or slot < 1 or type(weight) is not int or not 0 <= weight <= _MOST_WEIGHT:
                raise SettingsError(
                    f"expected weights from 0 to {_MOST_WEIGHT}, for the workers in slot 1, 2 and so on, or by slot, "
                    f"got {weights!r}"
                )
        if not by_slot:
            raise SettingsError('expected weights, as in Weighted(3, 1) or "weighted:3,1", got none')
        object.__setattr__(self, "weights", dict(by_slot))

    def __call__(self, workers: Workers) -> Policy:
        """Return the policy of a listener."""
        from .weighted import WeightedRoundRobin

        return WeightedRoundRobin(workers, self.weights)


@dataclass(frozen=True)
class ClientAddress:
    """A policy for ``setup_primary()``: the same worker for the same client's network.

    Args:
        ipv4_prefix: bits of an address that count, from 1 to 32.
        ipv6_prefix: bits of an address that count, from 1 to 128.

    Raises:
        SettingsError: a prefix that no address has.
    """

    ipv4_prefix: int = 32
    ipv6_prefix: int = 64

    def __post_init__(self) -> None:
        """Check them."""
        for name, prefix, most in (("ipv4_prefix", self.ipv4_prefix, 32), ("ipv6_prefix", self.ipv6_prefix, 128)):
            if type(prefix) is not int or not 1 <= prefix <= most:
                raise SettingsError(f"expected {name} to be from 1 to {most}, got {prefix!r}")

    def __call__(self, workers: Workers) -> Policy:
        """Return the policy of a listener."""
        from .client_address import ClientAddressHash

        return ClientAddressHash(workers, self.ipv4_prefix, self.ipv6_prefix)


@dataclass(frozen=True)
class ByFunction:
    """A policy that is a program's own function.

    Args:
        function: see :data:`~nodecluster_compat.connections.policies.base.Function`.
    """

    function: Callable[..., Any]

    def __call__(self, workers: Workers) -> Policy:
        """Return the policy of a listener."""
        from .by_function import FunctionPolicy

        return FunctionPolicy(workers, self.function)


def policy_of(value: object) -> PolicyFactory:
    """Return what makes the policies that a setting names; ``None`` is round robin.

    Args:
        value: ``"round_robin"``, ``"least_connections"``, ``"random_of_two"``, ``"client_address"`` or
            ``"client_address:24,56"`` (the prefixes of IPv4 and IPv6), ``"weighted:3,1"``; :class:`Weighted`,
            :class:`ClientAddress`; or a function.

    Raises:
        SettingsError: it is none of these.
    """
    if value is None:
        return RoundRobin
    if isinstance(value, str):
        return _named(value.strip())
    if isinstance(value, Weighted | ClientAddress | ByFunction) or value in _NAMES.values():
        return value  # type: ignore[return-value]  # all are factories
    if callable(value) and not isinstance(value, type):
        return ByFunction(value)
    raise _wrong(value)


def _named(value: str) -> PolicyFactory:
    name, _, given = value.partition(":")
    try:
        numbers = [int(number) for number in given.split(",")] if given else []
    except ValueError:
        raise _wrong(value) from None
    if name == "weighted":
        return Weighted(*numbers)
    if name == "client_address" and len(numbers) <= 2:
        return ClientAddress(*numbers)
    if name in _NAMES and not numbers:
        return _NAMES[name]
    raise _wrong(value)


def _wrong(value: object) -> SettingsError:
    return SettingsError(
        'expected policy to be "round_robin", "least_connections", "random_of_two", "client_address", "weighted:3,1", '
        f"one of nodecluster_compat.policies, or a function of a client and the workers, got {value!r}"
    )
