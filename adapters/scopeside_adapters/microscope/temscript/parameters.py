"""What can be set of the `temscript` control adapter."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from scopeside.params import Params
from scopeside.security.address import Tcp


def _host(host: str) -> str:
    if not Tcp(host, 0).loopback:
        raise ValueError(
            f"{host} is not of this machine, and temscript speaks in the clear: take "
            "127.0.0.1 and a tunnel (ssh -L 8080:127.0.0.1:8080 HOST)"
        )
    return host


class TemscriptParams(Params):
    """``[control.adapter]`` with ``kind = "temscript"``."""

    host: Annotated[str, AfterValidator(_host)] = "127.0.0.1"
    """Where the server, or the tunnel to it, listens."""
    port: int = Field(8080, ge=1, le=65535)
    """Its port."""
    defocus_unit_m: float | None = Field(None, gt=0, le=1)
    """Metres that one unit of the instrument's defocus is, measured; absent: defocus
    is neither set nor read back, for its unit is arbitrary on most instruments."""
    magnifications: tuple[tuple[int, float], ...] = ()
    """[index, magnification] of what may be set, as the instrument indicates it in
    its present mode; absent: magnification is not set."""
    stage_method: str = Field("GO", pattern="^(GO|MOVE)$")
    """GO: straight there; MOVE: by way of zero tilt."""
    shift_tolerance_m: float = Field(1e-9, ge=0)
    """A shift or defocus that is read back farther off is an error."""
    stage_tolerance_m: float = Field(1e-7, ge=0)
    """A position of the stage that is read back farther off is an error."""
    stage_tolerance_rad: float = Field(1e-3, ge=0)
    """Likewise a tilt."""
    answer_s: float = Field(2.0, gt=0, le=60)
    """So long may an answer to a question take, s; it waits for a running exposure."""
    act_s: float = Field(30.0, gt=0, le=600)
    """So long may a command take, s."""

    @field_validator("magnifications")
    @classmethod
    def _once_each(
        cls, table: tuple[tuple[int, float], ...]
    ) -> tuple[tuple[int, float], ...]:
        if len({index for index, _ in table}) < len(table) or len(
            {value for _, value in table}
        ) < len(table):
            raise ValueError("an index or a magnification stands there twice")
        return table
