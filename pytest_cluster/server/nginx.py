"""Run nginx before a test's clusters, on a port that nobody else can take: it gets the socket, and not the number."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import OptionError, ServiceError
from .folder import no_folder
from .services import ended, last_line, program, running, service_folder, text_of

__all__ = ["NginxPlace", "log_of", "nginx", "upstream_of"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
INHERITED = "NGINX"
"""By this variable nginx takes sockets that it has inherited: numbers of descriptors, each with a semicolon."""

CONF = """\
daemon off;
worker_processes 1;
{user}pid {folder}/nginx.pid;
error_log {folder}/nginx.log notice;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream cluster {{
{upstreams}
        keepalive 8;
    }}
    server {{
        listen {host}:{port};
{server}
    }}
}}
"""
SERVER = """\
location / {
    proxy_pass http://cluster;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
}
"""


@dataclass(frozen=True, slots=True)
class NginxPlace:
    """Where an nginx runs."""

    host: str
    port: int
    pid: int
    folder: str
    """With ``nginx.conf``, ``nginx.log`` and ``access.log``."""


def upstream_of(address: object) -> str:
    """Return a cluster's address as nginx names a server of an upstream.

    :raises OptionError: it is none.
    """
    if isinstance(address, str) and address.startswith("/"):
        return f"unix:{address}"
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[1], int):
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        return f"{host}:{address[1]}"
    if isinstance(address, str) and re.fullmatch(r"[^\s;{}/]+:[0-9]+", address):
        return address
    raise OptionError(
        f"cluster_nginx: expected clusters, or addresses as '127.0.0.1:8000' or the path of a unix socket, got "
        f"{address!r:.100}"
    )


@contextlib.contextmanager
def nginx(upstreams: Sequence[str], server: str | None = None) -> Iterator[NginxPlace]:
    """Run nginx before *upstreams*, for the time of a block.

    :param upstreams: as :func:`upstream_of` returns them; together they are ``http://cluster``.
    :param server: what stands in ``server { … }``, in nginx's words (default: all that comes goes to the cluster).
    :raises MissingProgram: it is not installed.
    :raises ServiceError: it does not come up; the sentence is nginx's own.
    """
    command = program(["nginx"], FOLDERS, "nginx")
    with service_folder() as folder, _free_port() as listener:
        host, port = listener.getsockname()
        path = os.path.join(folder, "nginx.conf")
        try:
            with open(path, "w", encoding="utf-8") as conf:
                conf.write(_conf(folder, host, port, upstreams, SERVER if server is None else server))
        except OSError as error:
            raise no_folder(error) from None
        _check([command, "-t", "-q", "-p", folder, "-c", path, "-e", os.path.join(folder, "nginx.log")])
        words = [command, "-p", folder, "-c", path, "-e", os.path.join(folder, "nginx.log")]
        # With -e nginx opens its log before it reads the file, so that nothing is written where it was installed.
        with running(
            "nginx", words, folder, _has_workers, environment={INHERITED: f"{listener.fileno()};"}, passed=[listener]
        ) as pid:
            yield NginxPlace(host, port, pid, folder)


def _free_port() -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", 0))
    except OSError as error:
        raise ServiceError(f"nginx: there is no free port: {error}") from None


def _conf(folder: str, host: str, port: int, upstreams: Sequence[str], server: str) -> str:
    user = f"user {pwd.getpwuid(0).pw_name} {_group_of_root()};\n" if os.getuid() == 0 else ""
    return CONF.format(
        user=user,
        folder=folder,
        host=host,
        port=port,
        upstreams="\n".join(f"        server {one};" for one in upstreams),
        server="\n".join(f"        {line}" for line in server.splitlines()),
    )


def _group_of_root() -> str:
    return grp.getgrgid(0).gr_name


def _check(command: Sequence[str]) -> None:
    """Let nginx say what is wrong with its file."""
    checked = ended("nginx", command)
    if checked.returncode:
        wrong = next((line for line in checked.stderr.splitlines() if "[emerg]" in line), last_line(checked.stderr))
        raise ServiceError(f"nginx: {wrong.partition('[emerg] ')[2] or wrong}")


def _has_workers(log: str) -> bool:
    return "start worker process " in log


def log_of(place: NginxPlace, name: str = "nginx.log") -> str:
    """Return one of its logs."""
    return text_of(os.path.join(place.folder, name))
