"""``[control.door]``: where other programs may propose, and who they are."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from scopeside.control.keys import checked_key, checked_name
from scopeside.params import LocalPath, Params

Role = Literal["propose", "observe", "arm", "unblank", "hold"]
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[0-9.]+):(\d{1,5})")


def _address(endpoint: str) -> str:
    found = _TCP.fullmatch(endpoint)
    if found is None or int(found[2]) > 65535:
        raise ValueError("it is 'tcp://ADDRESS:PORT', such as 'tcp://127.0.0.1:8770'")
    address = ipaddress.ip_address(found[1].strip("[]"))
    if address.is_unspecified or address.is_multicast:
        raise ValueError(
            "it names one address of this machine, not all of them: "
            "'tcp://127.0.0.1:PORT' or that of the network the programs are in"
        )
    return endpoint


class DoorClient(Params):
    """A program that may come in."""

    name: Annotated[str, AfterValidator(checked_name)]
    """What it is called in the audit log."""
    key: Annotated[str, AfterValidator(checked_key)]
    """Its public key, 40 characters."""
    roles: frozenset[Role] = Field(min_length=1)
    """What it may do: propose; observe (ask how the guard is); arm (what a person may
    ask); unblank (let the beam on); hold. Every one of them may hold and blank."""


class DoorSettings(Params):
    """``[control.door]``: a socket with keys for other programs."""

    endpoint: Annotated[str, AfterValidator(_address)]
    """Where: ``tcp://ADDRESS:PORT``; port 0: any free one."""
    key: LocalPath = Path("guard.key_secret")
    """The guard's own secret key file, closed to others (0600)."""
    clients: tuple[DoorClient, ...] = Field(min_length=1)
    """Who may come in; nobody else gets a connection."""
    per_s: float = Field(50.0, gt=0, le=10_000)
    """Messages of each program that are looked at each second."""
    max_message_bytes: int = Field(1 << 18, ge=1024, le=1 << 20)
    """A larger message is not taken in, and its connection is cut."""

    @model_validator(mode="after")
    def _tell_apart(self) -> Self:
        for what in ("name", "key"):
            found = [getattr(client, what) for client in self.clients]
            twice = sorted({one for one in found if found.count(one) > 1})
            if twice:
                raise ValueError(f"two clients have the {what} {twice[0]!r}")
        return self
