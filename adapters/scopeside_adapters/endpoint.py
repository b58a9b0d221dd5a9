"""Where frames and samples may be taken in: from this machine only."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[0-9.]+):(\d{1,5})")
_LONGEST_IPC = 107  # bytes of a Unix socket's path


def check_endpoint(endpoint: str) -> str:
    """Return `endpoint` if only this machine can reach it.

    Raises
    ------
    ValueError
        If it is neither ``tcp://`` with a loopback address and a port (0: any free
        one) nor ``ipc://PATH``.
    """
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        if len(ipc_path(endpoint).as_posix().encode()) > _LONGEST_IPC:
            raise ValueError(f"the path of ipc:// has at most {_LONGEST_IPC} bytes")
        return endpoint
    found = _TCP.fullmatch(endpoint)
    if found is None or int(found[2]) > 65535:
        raise ValueError("it is 'tcp://127.0.0.1:PORT' or 'ipc://PATH'")
    if not _is_loopback(found[1].strip("[]")):
        raise ValueError(
            "other machines could reach it; that needs keys, which this version does "
            "not have: take 'tcp://127.0.0.1:PORT' or 'ipc://PATH', and a tunnel "
            "(ssh -L) for a producer elsewhere"
        )
    return endpoint


def ipc_path(endpoint: str) -> Path:
    """Return the path of an ``ipc://`` endpoint."""
    return Path(endpoint.removeprefix("ipc://"))


def problem_with(endpoint: str) -> str:
    """Return why nobody can listen at a checked `endpoint` now; empty if one can."""
    if endpoint.startswith("ipc://"):
        return _problem_with_path(ipc_path(endpoint))
    found = _TCP.fullmatch(endpoint)
    assert found is not None  # it is checked
    address, port = found[1].strip("[]"), int(found[2])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
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


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
