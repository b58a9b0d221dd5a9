"""Whether one can listen at an address now."""

from __future__ import annotations

import socket
from pathlib import Path

from scopeside.security.address import tcp_of


def ipc_path(endpoint: str) -> Path:
    """Return the path of an ``ipc://`` endpoint."""
    return Path(endpoint.removeprefix("ipc://"))


def problem_with(endpoint: str) -> str:
    """Return why nobody can listen at a checked `endpoint` now; empty if one can."""
    if endpoint.startswith("ipc://"):
        return _problem_with_path(ipc_path(endpoint))
    address = tcp_of(endpoint)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _problem_with_path(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    # ZeroMQ would take the path away from whoever listens there.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return "it is no socket" if path.exists() and not path.is_socket() else ""
    return "another program listens there"
