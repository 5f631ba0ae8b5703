"""Read gunicorn's settings in script mode, and say which mean something there.

From ``GUNICORN_CMD_ARGS``, as for the ``gunicorn`` command, and from ``cluster.setup_primary(keepalive=5, …)``.  What
script mode decides by itself (who binds, how many workers, which class, daemons, reloads) has no meaning here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from gunicorn.config import Config
from gunicorn.glogging import Logger

from ...errors import SettingsError
from ...roles.settings import SupervisionSettings
from ..log_lines import keep_lines_whole

if TYPE_CHECKING:
    from ...gevent_runtime.idle_limit import IdleLimit
    from ..gunicorn_types import GunicornLog, Settings
    from ..requests.http_handler import HttpHandler

__all__ = ["SERVING_SETTINGS", "configured", "request_handler", "set_config", "with_settings"]

SERVING_SETTINGS: Final = frozenset(
    {
        "access_log_format", "accesslog", "ca_certs", "capture_output", "casefold_http_method", "cert_reqs", "certfile",
        "ciphers", "default_proc_name", "disable_redirect_access_to_syslog", "dogstatsd_tags", "errorlog",
        "forwarded_allow_ips", "forwarder_headers", "graceful_timeout", "header_map", "http2_initial_window_size",
        "http2_max_concurrent_streams", "http2_max_frame_size", "http2_max_header_list_size", "http_parser",
        "http_protocols", "keepalive", "keyfile", "limit_request_field_size", "limit_request_fields",
        "limit_request_line", "logconfig", "logconfig_dict", "logconfig_json", "logger_class", "loglevel",
        "permit_obsolete_folding", "permit_unconventional_http_method", "permit_unconventional_http_version",
        "post_request", "pre_request", "proxy_allow_ips", "proxy_protocol", "secure_scheme_headers", "sendfile",
        "ssl_context", "ssl_version", "statsd_host", "statsd_prefix", "strip_header_spaces", "suppress_ragged_eofs",
        "do_handshake_on_connect", "tmp_upload_dir", "worker_connections", "worker_tmp_dir",
    }
)  # fmt: skip
"""Settings of one worker that ``setup_primary()`` and ``GUNICORN_CMD_ARGS`` may give."""

_DEFAULTS: Final = {"loglevel": "warning", "timeout": 0, "workers": 0, "bind": [], "control_socket_disable": True}


class _ThisProcess:
    cfg: Settings | None = None
    log: GunicornLog | None = None
    waits: IdleLimit | None = None  # once the first server serves
    settings = SupervisionSettings()


def configured() -> Settings:
    """Return gunicorn's settings as the environment has them.

    Raises:
        SettingsError: ``GUNICORN_CMD_ARGS`` cannot be read.
    """
    cfg = Config()
    for name, value in _DEFAULTS.items():
        if name in cfg.settings:
            cfg.set(name, value)
    try:
        arguments = cfg.parser().parse_args(shlex.split(os.environ.get("GUNICORN_CMD_ARGS", "")))
    except SystemExit as error:
        raise SettingsError("expected gunicorn's options in GUNICORN_CMD_ARGS, see above") from error
    given = {name: value for name, value in vars(arguments).items() if value is not None and name in cfg.settings}
    with_settings(cfg, {name: value for name, value in given.items() if name in SERVING_SETTINGS})
    return cast("Settings", cfg)


def with_settings(cfg: Settings, settings: Mapping[str, Any]) -> None:
    """Set some of gunicorn's settings.

    Raises:
        SettingsError: gunicorn does not take a value; the sentence says which.
    """
    for name, value in settings.items():
        try:
            cfg.set(name, value)
        except Exception as error:
            raise SettingsError(f"gunicorn does not take {value!r} as setting {name!r}: {error}") from error


def set_config(cfg: Settings, log: GunicornLog, settings: SupervisionSettings = _ThisProcess.settings) -> None:
    """Serve with these settings of gunicorn's and of ours, in this process from now on."""
    keep_lines_whole(log)
    _ThisProcess.cfg, _ThisProcess.log = cfg, log
    _ThisProcess.settings = settings


def _settings_and_log() -> tuple[Settings, GunicornLog]:
    if _ThisProcess.cfg is None or _ThisProcess.log is None:
        cfg = configured()
        set_config(cfg, Logger(cfg))
    assert _ThisProcess.cfg is not None
    assert _ThisProcess.log is not None
    return _ThisProcess.cfg, _ThisProcess.log


def request_handler(application: Callable[..., Any]) -> HttpHandler:
    """Return what serves HTTP for an application, with the settings of this process."""
    from gevent import get_hub

    from ...gevent_runtime.idle_limit import IdleLimit
    from ..requests.access_log import use_access_log
    from ..requests.caching import cache_repeated_work
    from ..requests.http_handler import HttpHandler

    cfg, log = _settings_and_log()
    if _ThisProcess.waits is None:
        cache_repeated_work(cfg)
        _ThisProcess.waits = IdleLimit(cfg.keepalive)
    access_log = use_access_log(log, get_hub().loop.run_callback)
    settings = _ThisProcess.settings
    return HttpHandler(
        application,
        cfg,
        log,
        _ThisProcess.waits,
        access_log,
        settings.handshake_timeout,
        settings.request_timeout,
        settings.request_id_header,
    )
