"""The command line of ``nodeclusterctl``."""

from __future__ import annotations

import pytest

from nodecluster_compat.ctl.arguments import example_of, make_parser
from nodecluster_compat.ctl.client import path_of_server
from nodecluster_compat.ctl.commands import COMMANDS
from nodecluster_compat.ctl.main import main


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example:\n  $ nodeclusterctl {command}" in said
    assert len(example_of(command).splitlines()) >= 2
    assert "exit status:" in said
    assert "--json" in said


NO_SENSE = [
    *([], ["bogus"], ["drain"], ["scale"], ["status", "--bogus"], ["reload", "--timeout", "nan"]),
    *(["reload", "--timeout", "-1"], ["profile", "1", "--seconds", "inf"], ["profile", "1", "--rate", "x"]),
    *(["top", "--interval", "0"], ["top", "--interval", "nan"], ["events", "--last", "-1"]),
]


@pytest.mark.parametrize("words", NO_SENSE)
def test_command_line_that_makes_no_sense_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: nodeclusterctl" in capsys.readouterr().err


def test_what_every_command_has_may_stand_before_it() -> None:
    for words in (["--control-socket", "a", "--json", "live"], ["--json", "live", "--control-socket", "a"]):
        options = make_parser().parse_args(words)
        assert (options.control_socket, options.json) == ("a", True)
    assert make_parser().parse_args(["--control-socket", "a", "live", "--control-socket", "b"]).control_socket == "b"
    options = make_parser().parse_args(["live"])
    assert (options.control_socket, options.json) == (None, False)


@pytest.mark.parametrize("words", [["scale", "--", "-2"], ["scale", "--json", "--", "-2"]])
def test_number_that_begins_with_a_sign(words: list[str]) -> None:
    assert make_parser().parse_args(words).number == "-2"


def test_server_is_looked_for_in_this_order() -> None:
    environ = {"NODECLUSTER_CONTROL_SOCKET": "/b", "XDG_RUNTIME_DIR": "/"}
    assert path_of_server("/a", environ) == ("/a", "--control-socket")
    assert path_of_server(None, environ) == ("/b", "NODECLUSTER_CONTROL_SOCKET")
    del environ["NODECLUSTER_CONTROL_SOCKET"]
    assert path_of_server(None, environ)[0] == "/gunicorn.ctl"
    assert path_of_server(None, {})[0].endswith("/.gunicorn/gunicorn.ctl")
