"""What can be set of the simulated microscope."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from scopeside.errors import ConfigError
from scopeside.messages import unknown
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.simulator.commands import ACTIONS
from scopeside_adapters.simulator.control import check_endpoint
from scopeside_adapters.simulator.movie import MovieParams
from scopeside_adapters.simulator.scan4d import Scan4DParams
from scopeside_adapters.simulator.state import State

_SCREEN_M = 0.1  # the width of the picture on the screen: it makes a magnification
_USUAL_DOSE_E_PER_PX = 5.0
Size = Annotated[int, Field(ge=1, le=16384)]


def _control_endpoint(endpoint: str) -> str:
    try:
        return check_endpoint(endpoint)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class SimulatorParams(Params):
    """``[detector]`` with ``kind = "simulator"``."""

    mode: Literal["scan4d", "movie"] = "scan4d"
    """What is simulated: a 4D-STEM scan of a crystal, or a movie of a liquid cell."""
    fps: float | None = Field(None, gt=0.0, le=1e6)
    """Frames per second; absent: as fast as possible."""
    frames: int = Field(1000, ge=1, le=10_000_000)
    """Frames of a movie; a scan has as many as it needs."""
    scan: tuple[Size, Size] = (128, 128)
    """Probe positions as [rows, columns]; [acquisition] may say otherwise."""
    shape: tuple[Size, Size] | None = None
    """Frame as [height, width], pixels; by default 128 × 128 for a scan, 512 × 512
    for a movie."""
    dtype: Literal["uint8", "uint16", "uint32"] = "uint16"
    """Of a pixel; what does not fit is cut off at the largest value."""
    electrons_per_frame: float = Field(1000.0, gt=0.0, le=1e9)
    """Expected electrons in a frame of a scan."""
    dose_e_per_px: float | None = Field(None, gt=0.0, le=1e5)
    """Expected electrons per pixel and frame of a movie; 5 if neither this nor
    `dose_rate_e_per_A2_s` is given."""
    dose_rate_e_per_A2_s: float | None = Field(None, gt=0.0, le=1e9)  # noqa: N815 - Å
    """Of a movie, e⁻/Å²/s, instead of `dose_e_per_px`."""
    exposure_s: float | None = Field(None, ge=1e-6, le=100.0)
    """Exposure of a frame, s; by default 1/fps, without fps 1 ms for a scan and 10 ms
    for a movie."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Equal seeds give equal frames, whatever the batches."""
    acquisitions: int = Field(1, ge=0)
    """How many acquisitions, each with the same frames; 0: until stopped."""
    pause_s: float = Field(0.0, ge=0.0, le=3600.0)
    """Between two acquisitions, s."""
    control: Annotated[str, AfterValidator(_control_endpoint)] | None = None
    """Where the microscope takes commands: tcp://127.0.0.1:PORT or ipc://PATH; absent:
    it takes none."""
    control_delay_ms: Mapping[str, Annotated[float, Field(ge=0, le=60_000)]] = {}
    """By action: how long it takes until it has effect and is answered, ms; others
    are served meanwhile."""
    scan4d: Scan4DParams = Scan4DParams()
    """The crystal and the optics."""
    movie: MovieParams = MovieParams()
    """The liquid cell."""

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width), pixels."""
        return self.shape or ((128, 128) if self.mode == "scan4d" else (512, 512))

    @field_validator("control_delay_ms")
    @classmethod
    def _known_actions(cls, delays: Mapping[str, float]) -> Mapping[str, float]:
        for name in delays:
            if name not in {*ACTIONS, "place_beam"}:
                raise ValueError(unknown("action", name, {*ACTIONS, "place_beam"}))
        return delays

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dose_e_per_px is not None and self.dose_rate_e_per_A2_s is not None:
            raise ValueError("give dose_e_per_px or dose_rate_e_per_A2_s, not both")
        if self.fps and self.exposure_s and self.exposure_s * self.fps > 1 + 1e-9:
            raise ValueError(
                f"exposure_s = {self.exposure_s:g} is longer than a frame at "
                f"fps = {self.fps:g}"
            )
        needed = 2 * math.ceil(self.scan4d.reach_px() + self.scan4d.field_px) + 1
        if self.mode == "scan4d" and min(self.frame_shape) < needed:
            raise ValueError(
                f"shape = {list(self.frame_shape)} is smaller than {needed}, which the "
                "central disk needs: make scan4d.semi_angle_px or field_px smaller"
            )
        return self

    @property
    def exposure(self) -> float:
        """Exposure of a frame to begin with, s."""
        if self.exposure_s is not None:
            return self.exposure_s
        if self.fps is not None:
            return 1 / self.fps
        return 1e-3 if self.mode == "scan4d" else 1e-2


def initial_state(params: SimulatorParams, settings: AcquisitionSettings) -> State:
    """Return the state of the microscope that gives the dose asked for."""
    if params.mode == "scan4d":
        step_m = params.scan4d.scan_step_m
        fov_m = (settings.scan or params.scan)[1] * step_m
        dose_e_per_A2 = params.electrons_per_frame / (step_m * 1e10) ** 2  # noqa: N806 - Å
    else:
        pixel_m = params.movie.pixel_size_m
        fov_m = params.frame_shape[1] * pixel_m
        e_per_px = params.dose_e_per_px or _USUAL_DOSE_E_PER_PX
        dose_e_per_A2 = e_per_px / (pixel_m * 1e10) ** 2  # noqa: N806 - Å
    rate = dose_e_per_A2 / params.exposure
    if params.mode == "movie" and params.dose_rate_e_per_A2_s is not None:
        rate = params.dose_rate_e_per_A2_s
    return State(
        fov_m=fov_m,
        magnification=_SCREEN_M / fov_m,
        exposure_s=params.exposure,
        dose_rate_e_per_A2_s=rate,
    )
