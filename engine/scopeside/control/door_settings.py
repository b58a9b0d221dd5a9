"""``[control.door]``: where other programs may propose, and who they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from scopeside.params import LocalPath, Params
from scopeside.security.address import checked_bind
from scopeside.security.keys import checked_key, checked_name
from scopeside.security.ring import ENGINE

Role = Literal["propose", "observe", "arm", "unblank", "hold"]


def _address(endpoint: str) -> str:
    if not endpoint.startswith("tcp://"):
        raise ValueError("it is 'tcp://ADDRESS:PORT', such as 'tcp://127.0.0.1:8770'")
    return checked_bind(endpoint)


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
    keys: LocalPath | None = None
    """Key folder (0700) of ``scopeside keys new NAME --role …``: who is in it with
    one of these roles may come in, as long as it is in it."""
    key: LocalPath | None = None
    """The guard's own secret key file, closed to others (0600); by default that of
    the key folder, without one ``guard.key_secret``."""
    clients: tuple[DoorClient, ...] = Field((), min_length=1)
    """Who else may come in; nobody but these gets a connection."""
    per_s: float = Field(50.0, gt=0, le=10_000)
    """Messages of each program that are looked at each second."""
    max_message_bytes: int = Field(1 << 18, ge=1024, le=1 << 20)
    """A larger message is not taken in, and its connection is cut."""

    @property
    def own_key(self) -> Path:
        """The guard's own secret key file."""
        if self.key is not None:
            return self.key
        if self.keys is not None:
            return self.keys / f"{ENGINE}.key_secret"
        return Path("guard.key_secret")

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if not self.clients and self.keys is None:
            raise ValueError(
                "nobody may come in: name clients, or keys = 'FOLDER' with programs "
                "of the roles propose, observe, arm, unblank, hold"
            )
        return self

    @model_validator(mode="after")
    def _tell_apart(self) -> Self:
        for what in ("name", "key"):
            found = [getattr(client, what) for client in self.clients]
            twice = sorted({one for one in found if found.count(one) > 1})
            if twice:
                raise ValueError(f"two clients have the {what} {twice[0]!r}")
        return self
