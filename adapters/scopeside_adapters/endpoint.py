"""Where frames and samples are taken in, and who may connect there."""

from __future__ import annotations

from pathlib import Path

import zmq

from scopeside.errors import ConfigError
from scopeside.params import LocalPath, Params
from scopeside.security.address import Tcp, checked_bind, of_this_machine
from scopeside.security.bulk import check_border, plaintext_note
from scopeside.security.entrance import Entrance
from scopeside.security.listening import ipc_path, problem_with
from scopeside.security.ring import Ring, own_pair

__all__ = [
    "Border",
    "check_double",
    "check_endpoint",
    "check_local",
    "entrance",
    "ipc_path",
    "key_problem",
    "problem_with",
]


def check_endpoint(endpoint: str) -> str:
    """Return `endpoint` if a socket can be bound to it, whoever reaches it.

    Raises
    ------
    ValueError
        If it is neither ``tcp://`` with one address, as a number, and a port (0: any
        free one) nor ``ipc://PATH``.
    """
    return checked_bind(endpoint)


def check_local(endpoint: str) -> str:
    """Return `endpoint` if only this machine can reach it.

    Raises
    ------
    ValueError
        If another machine could.
    """
    if not of_this_machine(checked_bind(endpoint)):
        raise ValueError(
            "other machines could reach it, and there are no keys here: take "
            "'tcp://127.0.0.1:PORT' or 'ipc://PATH', and a tunnel (ssh -L)"
        )
    return endpoint


def check_double(host: str) -> str:
    """Return where a double of a detector may listen: on this machine.

    Raises
    ------
    ValueError
        If other machines could reach it: it has no keys, as its vendor's has none.
    """
    if not Tcp(host.strip("[]"), 0).loopback:
        raise ValueError(
            f"{host} is not of this machine, and a double speaks in the clear as what "
            "it plays does: take 127.0.0.1, and a tunnel (ssh -L) from elsewhere"
        )
    return host


class Border(Params):
    """What guards an address at which frames or samples come in."""

    keys: LocalPath | None = None
    """The key folder (0700) of ``scopeside keys new NAME --role ingest``: only its
    programs with that role may connect, encrypted. Needed for an address that other
    machines reach."""
    plaintext: bool = False
    """true: let anybody who reaches the address connect, in the clear. Said loudly."""

    def check_border(self, key: str, endpoint: str) -> None:
        """Refuse an address that others reach and that nothing guards.

        Raises
        ------
        ValueError
            If it is one.
        """
        check_border(key, endpoint, self.keys, plaintext=self.plaintext, role="ingest")

    @property
    def plaintext_note(self) -> str:
        """What is to be told as long as it is open; empty if it is not."""
        return ""

    def note(self, what: str, endpoint: str) -> str:
        """Return what is to be told of an address that is open, else nothing."""
        return plaintext_note(what, endpoint) if self.plaintext else ""


def key_problem(keys: Path | None) -> list[str]:
    """Return why a key folder is of no use, if it is none."""
    try:
        if keys is not None:
            own_pair(keys)
            Ring(keys, {"ingest"})
    except ConfigError as error:
        return [f"keys: {error}"]
    return []


def entrance(socket: zmq.Socket[bytes], keys: Path, what: str) -> Entrance:
    """Return what guards a socket that programs of the role `ingest` connect to.

    Raises
    ------
    ConfigError
        If the key folder cannot be used.
    """
    ring, own = Ring(keys, {"ingest"}), own_pair(keys)
    return Entrance(socket, own.secret, ring, what=what, where=str(keys))
