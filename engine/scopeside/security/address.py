"""Whether an address is of this machine only. No resolver is asked, nothing is opened.

A name is of another machine, also ``localhost``, whatever it resolves to now: what it
resolves to when the socket is opened may be something else.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_IPC = re.compile(r"ipc://([^@].*)", re.DOTALL)
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|\*|[A-Za-z0-9._-]+):(\*|\d{1,5})")
_LONGEST_IPC = 107
"""Bytes of the path of a Unix socket."""


class Tcp(NamedTuple):
    """The two parts of ``tcp://HOST:PORT``; an IPv6 address without its brackets."""

    host: str
    port: int

    @property
    def numeric(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address; None for a name."""
        try:
            found = ipaddress.ip_address(self.host)
        except ValueError:
            return None
        mapped = getattr(found, "ipv4_mapped", None)
        return found if mapped is None else mapped

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine get there."""
        return self.numeric is not None and self.numeric.is_loopback


def tcp_of(endpoint: str) -> Tcp:
    """Return host and port of ``tcp://HOST:PORT``.

    Raises
    ------
    ValueError
        If it is not of that form.
    """
    found = _TCP.fullmatch(endpoint)
    port = 0 if found is None or found[2] == "*" else int(found[2])
    if found is None or port > 65535:
        raise ValueError("it is 'tcp://ADDRESS:PORT', such as 'tcp://127.0.0.1:8766'")
    return Tcp(found[1].strip("[]"), port)


def of_this_machine(endpoint: str) -> bool:
    """Whether nobody but programs of this machine can be at the other end.

    True for the path of a Unix socket and for a loopback address given as a number;
    False for everything else, also for what is no endpoint at all.
    """
    if _IPC.fullmatch(endpoint):
        return True
    try:
        return tcp_of(endpoint).loopback
    except ValueError:
        return False


def checked_bind(endpoint: str) -> str:
    """Return an endpoint that a socket can be bound to, whoever reaches it.

    Raises
    ------
    ValueError
        If it is neither ``ipc://PATH`` nor ``tcp://`` with one address, as a number,
        and a port (0: any free one).
    """
    if endpoint.startswith("ipc://"):
        return _checked_ipc(endpoint)
    address = tcp_of(endpoint)
    if address.host == "*" or (address.numeric and _is_many(address.numeric)):
        raise ValueError(
            "it is 'tcp://ADDRESS:PORT' and names one address of this machine, not all "
            "of them: 127.0.0.1, or that of the network the programs are in"
        )
    if address.numeric is None:
        raise ValueError(
            f"{address.host!r} does not appear to be an address: it is "
            "'tcp://ADDRESS:PORT' with the address as a number, such as "
            "'tcp://127.0.0.1:8766', never a name"
        )
    return endpoint


def _is_many(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_unspecified or address.is_multicast


def _checked_ipc(endpoint: str) -> str:
    found = _IPC.fullmatch(endpoint)
    if found is None:
        raise ValueError(
            "it is 'ipc://PATH'; a name that begins with '@' is in no folder, so that "
            "every user of this machine could take it"
        )
    if len(found[1].encode()) > _LONGEST_IPC or "\0" in found[1]:
        raise ValueError(f"the path of ipc:// has at most {_LONGEST_IPC} bytes")
    return endpoint
