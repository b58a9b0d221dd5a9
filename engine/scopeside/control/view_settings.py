"""``[control.view]``: how a view offset is made from a shifter and the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from scopeside.params import LocalPath, Params


class ShifterSettings(Params):
    """``[control.view.shifter]``: coils, quick and exact, of small range."""

    by: Literal["image_shift", "beam_shift"]
    """Which coils."""
    calibration: tuple[LocalPath, ...] = Field(min_length=1)
    """Files that scopeside calibrate shift wrote, one for each optical state."""
    range_m: float = Field(gt=0)
    """How far from the middle it may go, m as the instrument counts them; beyond, the
    stage takes over, or the offset is refused."""
    middle_m: tuple[float, float] = (0.0, 0.0)
    """[x, y] that it goes back to when the stage takes over, m."""


class StageSettings(Params):
    """``[control.view.stage]``: the stage, slow and coarse, that goes anywhere."""

    calibration: tuple[LocalPath, ...] = Field(min_length=1)
    """Files that scopeside calibrate shift --actuator stage wrote."""
    origin_m: tuple[float, float] = (0.0, 0.0)
    """[x, y] of the stage where the view offset is 0, m."""
    approach_m: tuple[float, float] = (0.0, 0.0)
    """The last leg of each move in x and y, m: longer than the backlash, it always ends
    in the same direction; [0, 0]: it goes straight."""
    settle_s: float = Field(0.0, ge=0, le=60)
    """So long after it has arrived it counts as moving, s; answer_ms covers it."""


class ViewSettings(Params):
    """``[control.view]``: a shifter, the stage, or one after the other."""

    shifter: ShifterSettings | None = None
    """What makes small offsets."""
    stage: StageSettings | None = None
    """What takes over when the shifter's range is spent; alone: makes all of them."""

    @model_validator(mode="after")
    def _has_something_to_move(self) -> Self:
        if self.shifter is None and self.stage is None:
            raise ValueError("a view offset needs a shifter, a stage, or both")
        return self

    @property
    def files(self) -> dict[Path, str]:
        """The calibration files, each with the actuator that it has to be of."""
        found = (
            {} if self.stage is None else dict.fromkeys(self.stage.calibration, "stage")
        )
        if self.shifter is not None:
            found |= dict.fromkeys(self.shifter.calibration, self.shifter.by)
        return found
