"""What setup_primary takes for supervision."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.errors import SettingsError
from nodecluster_compat.lifecycle.recycling import RecyclePolicy
from nodecluster_compat.lifecycle.steps import Bounds
from nodecluster_compat.roles.settings import SupervisionSettings


def test_defaults_and_keys_of_others() -> None:
    """Node's own keys and unknown ones mean nothing here."""
    assert SupervisionSettings.of({"exec": "app.py", "silent": False, "colour": 3}) == SupervisionSettings()


def test_every_key_is_read() -> None:
    """Each lands where it belongs."""
    settings = SupervisionSettings.of(
        {
            "max_surge": 2,
            "max_unavailable": "50%",
            "boot_timeout": 9,
            "restart_delay": 0.5,
            "restart_max_delay": 5,
            "restart_stable": 3,
            "restart_intensity": 7,
            "restart_period": 60,
            "watch": ["a", "b"],
            "status_file": "/run/status.json",
            "max_message_bytes": 70_000,
            "blocked_after": 0.5,
            "queue_timeout": 30,
            "handshake_timeout": 5,
            "max_worker_age": 3600,
            "max_worker_age_jitter": 60,
            "max_worker_memory": 2**30,
            "max_worker_memory_samples": 5,
            "max_worker_memory_interval": 0.5,
            "max_worker_requests": 100,
            "max_worker_requests_jitter": 7,
        }
    )
    assert settings.recycling == RecyclePolicy(3600, 60, 2**30, 5, 0.5, 100, 7)
    assert (settings.blocked_after, settings.queue_timeout, settings.handshake_timeout) == (0.5, 30, 5)
    policy = settings.restarts
    assert (policy.delay, policy.max_delay, policy.stable, policy.intensity, policy.period) == (0.5, 5, 3, 7, 60)
    assert (settings.boot_timeout, settings.watch, settings.status_file) == (9, ("a", "b"), "/run/status.json")
    assert settings.max_message_bytes == 70_000
    assert settings.bounds(4) == Bounds(2, 2)


@pytest.mark.parametrize(
    ("settings", "target", "bounds"),
    [
        ({}, 1, Bounds(1, 0)),
        ({}, 4, Bounds(1, 0)),
        ({}, 5, Bounds(2, 0)),
        ({"max_surge": "100%"}, 3, Bounds(3, 0)),
        ({"max_surge": 0, "max_unavailable": "25%"}, 3, Bounds(0, 1)),
        ({"max_surge": 0, "max_unavailable": "25%"}, 8, Bounds(0, 2)),
        ({"max_surge": 1, "max_unavailable": "25%"}, 3, Bounds(1, 0)),
    ],
)
def test_shares(settings: dict[str, Any], target: int, bounds: Bounds) -> None:
    """A surge is rounded up, a lack down, and something always moves."""
    assert SupervisionSettings.of(settings).bounds(target) == bounds


@pytest.mark.parametrize(
    "settings",
    [
        {"max_surge": -1},
        {"max_surge": "25"},
        {"max_surge": "101%"},
        {"max_surge": True},
        {"max_unavailable": 0.5},
        {"max_surge": 0, "max_unavailable": 0},
        {"max_surge": "0%", "max_unavailable": "0%"},
        {"boot_timeout": -1},
        {"boot_timeout": "60"},
        {"restart_delay": float("inf")},
        {"restart_intensity": 1.5},
        {"watch": "file.py"},
        {"watch": [1]},
        {"status_file": 3},
        {"max_message_bytes": 1000},
        {"max_message_bytes": 2**40},
        {"max_message_bytes": "1M"},
        {"blocked_after": None},
        {"queue_timeout": -1},
        {"handshake_timeout": "1"},
        {"max_worker_age": -1},
        {"max_worker_age": True},
        {"max_worker_age_jitter": "1"},
        {"max_worker_memory": 1.5},
        {"max_worker_memory": "1G"},
        {"max_worker_memory_samples": 0},
        {"max_worker_memory_interval": 0},
        {"max_worker_requests": -1},
        {"max_worker_requests_jitter": None},
        {"control_socket": "\0abstract"},
        {"control_socket": ""},
        {"status_file": "/run/\ud800"},
        {"watch": ["/srv/\0"]},
    ],
)
def test_what_cannot_be_is_refused_by_name(settings: dict[str, Any]) -> None:
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=next(iter(settings))):
        SupervisionSettings.of(settings)


def test_jitter_is_a_tenth_unless_it_is_set() -> None:
    """Of what it is added to, so without a limit nothing."""
    policy = SupervisionSettings.of({"max_worker_age": 100, "max_worker_requests": 55}).recycling
    assert (policy.age_jitter, policy.requests_jitter) == (10, 5)
    assert SupervisionSettings.of({}).recycling == RecyclePolicy()
