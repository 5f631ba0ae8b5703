"""Options that cannot be are refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_cluster.errors import OptionError
from pytest_cluster.options.cluster_options import ClusterOptions


@pytest.mark.parametrize("bind", ["", [], (), [""], 3, [8000], {"a": 1}])
def test_bind_that_listens_nowhere(bind: Any) -> None:
    """gunicorn would start, and wait for ever for somebody to connect to nothing."""
    with pytest.raises(OptionError, match=r"bind must be an address, as '127\.0\.0\.1:0' or 'unix:…', or a list of"):
        ClusterOptions(settings={"bind": bind})


@pytest.mark.parametrize("bind", ["127.0.0.1:0", ["unix:/tmp/a", "[::1]:0"], ("127.0.0.1:0",)])
def test_bind(bind: Any) -> None:
    assert ClusterOptions(settings={"bind": bind}).listeners == (1 if isinstance(bind, str) else len(bind))


@pytest.mark.parametrize("env", [{"A=B": "1"}, {"": "1"}, {"A\0": "1"}, {"A": "1\0"}])
def test_variable_that_no_process_can_have(env: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="env must be a mapping from names to strings"):
        ClusterOptions(env=env)


@pytest.mark.parametrize(
    "config", ["gunicorn.conf.py", " conf/my file.py\n", "python:shop.conf", Path("gunicorn.conf.py")]
)
def test_config_is_no_file(config: Any) -> None:
    """As with gunicorn's own ``--config``: its name would be run as Python."""
    with pytest.raises(OptionError, match=r"config must be Python source as a string \(of a file: Path\("):
        ClusterOptions(config=config)


@pytest.mark.parametrize("config", ["", "import conf", "threads = 2  # as in conf.py", "x = 1\n# conf.py"])
def test_config(config: str) -> None:
    assert ClusterOptions(config=config).config == config
