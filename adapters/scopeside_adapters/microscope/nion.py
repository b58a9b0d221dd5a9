"""The `nion` control adapter: Nion Swift, by the program `nion_server` beside it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, Field

from scopeside_adapters.microscope.zmq import ZmqControl, ZmqControlParams, action_name

OFFERED = ("set_beam_shift", "move_stage", "set_defocus", "blank")


class NionParams(ZmqControlParams):
    """``[control.adapter]`` with ``kind = "nion"``."""

    actions: tuple[Annotated[str, AfterValidator(action_name)], ...] = Field(
        OFFERED, min_length=1
    )
    """What it may be asked for."""


class NionControl(ZmqControl):
    """One connection to Nion Swift (docs/nion.md).

    Swift is under the GPL, so it is driven by a process of its own, over the control
    wire; nothing of Swift is loaded here.
    """

    Params: ClassVar[type[BaseModel]] = NionParams
