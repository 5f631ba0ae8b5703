"""The pure pieces of script mode: settings of a worker, the life of a server, arguments of listen."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest

from nodecluster_compat.base.exit_code import exit_code_of
from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.errors import ArgumentError, IllegalTransition, SettingsError
from nodecluster_compat.gevent_runtime.servers.listen_options import checked_port, path_request, with_fd
from nodecluster_compat.gevent_runtime.servers.states import SERVER_TRANSITIONS, ServerLife, ServerState, ServerStep
from nodecluster_compat.roles.spawn_settings import SpawnSettings

GOOD: dict[str, Any] = {"exec": "s.py", "args": ["a", 1]}
NAMES = frozenset({"keepalive"})


def test_settings_of_a_worker() -> None:
    """Defaults, and gunicorn's settings beside Node's."""
    settings = SpawnSettings.checked({**GOOD, "keepalive": 5, "unknown": 1}, NAMES)
    assert (settings.script, settings.args, settings.cwd, settings.uid) == ("s.py", ("a", "1"), None, None)
    assert settings.streams == ("inherit",) * 3
    assert settings.serving == {"keepalive": 5}


@pytest.mark.parametrize(
    ("given", "streams"),
    [
        ({"silent": True}, ("pipe",) * 3),
        ({"silent": True, "stdio": "ignore"}, ("ignore",) * 3),
        ({"stdio": "overlapped"}, ("pipe",) * 3),
        ({"stdio": ["inherit", None, 2, "ipc", "pipe"]}, ("inherit", "ignore", 2, "ipc", "pipe")),
    ],
)
def test_streams(given: dict[str, Any], streams: tuple[Any, ...]) -> None:
    """stdio wins over silent; a list has ipc in it."""
    assert SpawnSettings.checked({**GOOD, **given}, NAMES).streams == streams


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"exec": None}, "expected the path of a script as setting 'exec', got None"),
        ({"args": "text"}, "expected a list of strings as setting 'args', got 'text'"),
        ({"cwd": 5}, "expected the path of a folder as setting 'cwd', got 5"),
        ({"uid": "root"}, "expected a number that fits 32 bits as setting 'uid', got 'root'"),
        ({"gid": 2**40}, "setting 'gid'"),
        ({"uid": True}, "setting 'uid'"),
        ({"stdio": ["pipe"]}, "expected 'ipc' among the entries of setting 'stdio', got ['pipe']"),
        ({"stdio": ["ipc", "ipc"]}, "expected 'ipc' only once among the entries of setting 'stdio'"),
        ({"stdio": ["ipc", {}]}, "in setting 'stdio', got {}"),
        ({"stdio": 7}, "expected a word or a list as setting 'stdio', got 7"),
        ({"stdio": ["ipc", "what"]}, "in setting 'stdio', got 'what'"),
        ({"stdio": "what"}, "in setting 'stdio', got 'what'"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], sentence: str) -> None:
    """The sentence names the setting, what was expected, what came."""
    with pytest.raises(SettingsError) as caught:
        SpawnSettings.checked({**GOOD, **given}, NAMES)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("state", "step"), list(product(get_args(ServerState), get_args(ServerStep))))
def test_life_of_a_server_is_its_table(state: ServerState, step: ServerStep) -> None:
    """What the table has leads where it says; everything else raises and changes nothing."""
    life = ServerLife()
    life.state = state
    if (state, step) in SERVER_TRANSITIONS:
        assert life.advance(step) == life.state == SERVER_TRANSITIONS[state, step]
    else:
        with pytest.raises(IllegalTransition, match=f"a server that is '{state}' cannot take the step '{step}'"):
            life.advance(step)
        assert life.state == state


def test_every_state_of_a_server_leads_back_to_closed() -> None:
    """No dead end."""
    reached = {"closed"}
    for _ in SERVER_TRANSITIONS:
        reached |= {state for (state, _), target in SERVER_TRANSITIONS.items() if target in reached}
    assert reached == set(get_args(ServerState))


@pytest.mark.parametrize(("port", "number"), [(0, 0), (None, 0), (65535, 65535), ("80", 80)])
def test_ports(port: Any, number: int) -> None:
    """As in Node, a text of digits is a number."""
    assert checked_port(port) == number


@pytest.mark.parametrize("port", [-1, 65536, 1.5, "x", "", True, [], float("nan")])
def test_ports_that_are_none(port: Any) -> None:
    """ERR_SOCKET_BAD_PORT."""
    with pytest.raises(ArgumentError, match="expected a port from 0 to 65535, got"):
        checked_port(port)


@pytest.mark.parametrize("path", ["", "\0abstract", "a\0b", 5])
def test_paths_that_are_none(path: Any) -> None:
    """Abstract names cannot be shared."""
    with pytest.raises(ArgumentError, match="expected"):
        path_request(path, 5, False, False)


@pytest.mark.parametrize("fd", [-1, "3", True, None])
def test_descriptors_that_are_none(fd: Any) -> None:
    """A number from 0."""
    with pytest.raises(ArgumentError, match="expected a descriptor"):
        with_fd(fd, 5)


def test_ordinal_counts_with_port_zero_only() -> None:
    """The n-th listen(0) of each worker is one socket; a fixed port is one, whoever asks and how often."""
    assert ListenRequest("::1", 0, 6, ordinal=1).key != ListenRequest("::1", 0, 6).key
    assert ListenRequest("::1", 80, 6, ordinal=1).key == ListenRequest("::1", 80, 6).key
    assert ListenRequest("::1", 80, 6, backlog=1, ipv6_only=True).key == ListenRequest("::1", 80, 6).key


@pytest.mark.parametrize(("code", "number"), [(None, 0), (3, 3), ("text", 1), (0, 0)])
def test_exit_codes(code: Any, number: int) -> None:
    """Python's."""
    assert exit_code_of(SystemExit(code)) == number
