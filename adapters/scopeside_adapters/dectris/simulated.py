"""What a simulated detector is: its settings, its keys, its frames, its faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from scopeside.params import Params
from scopeside_adapters.dectris.compose import Compression, Detail, Stream
from scopeside_adapters.dectris.parcel import Array
from scopeside_adapters.endpoint import check_double


class DectrisSimulatorParams(Params):
    """``scopeside simulate dectris``."""

    host: Annotated[str, AfterValidator(check_double)] = "127.0.0.1"
    """Where to listen."""
    api_port: int = Field(8910, ge=0, le=65535)
    """TCP port of the SIMPLON interface; 0: any free one."""
    port: int = Field(31001, ge=0, le=65535)
    """TCP port of the stream; 0: any free one."""
    stream: Stream = "v2"
    """v1 (legacy) or v2 (CBOR); the client may change it by ``format``."""
    shape: tuple[int, int] = (192, 192)
    """Height and width, pixels."""
    dtype: str = Field("uint16", pattern="^uint(8|16|32)$")
    """uint8, uint16 or uint32."""
    frames: int = Field(4096, ge=1)
    """Images a series, unless a client sets nimages and ntrigger."""
    fps: float | None = Field(None, gt=0)
    """Images a second; absent: as fast as they are taken."""
    mean: float = Field(1.0, ge=0)
    """Mean counts of a pixel (Poisson)."""
    seed: int = 0
    """Of the counts."""
    distinct: int = Field(64, ge=1, le=4096)
    """Different frames, used again and again."""
    compression: Compression = "bslz4"
    """none, lz4 or bslz4."""
    header_detail: Detail = "basic"
    """none, basic or all."""
    channels: tuple[str, ...] = ("threshold_1",)
    """Channels of each image; V1 sends the first."""
    appendix: str = ""
    """Goes with header and images."""
    auto: bool = False
    """Arm and trigger itself, again and again, for a passive client."""
    pause_s: float = Field(1.0, ge=0)
    """Between two series of `auto`, s."""
    state: str = "idle"
    """State at the start; ``na`` needs an ``initialize``."""


@dataclass(frozen=True)
class Oddities:
    """What a detector does wrong on request, beside `Faults`; images by number.

    Attributes
    ----------
    counted
        Whether dropped images appear in ``stream/status/dropped``.
    arm_says
        The series that ``arm`` answers, if it is not the true one.
    """

    wrong_series: frozenset[int] = frozenset()
    corrupt: frozenset[int] = frozenset()
    wrong_shape: frozenset[int] = frozenset()
    no_header: bool = False
    no_end: bool = False
    late_end_s: float = 0.0
    counted: bool = True
    arm_says: int | None = None


def first_values(params: DectrisSimulatorParams) -> dict[str, dict[str, Any]]:
    """Return the keys of a detector that has just been switched on."""
    height, width = params.shape
    period = 1e-3 if params.fps is None else 1 / params.fps
    return {
        "detector/config": {
            "description": "Simulated DECTRIS",
            "detector_number": "E-00-0000",
            "software_version": "1.8.0",
            "x_pixels_in_detector": width,
            "y_pixels_in_detector": height,
            "bit_depth_image": 8 * np.dtype(params.dtype).itemsize,
            "trigger_mode": "exts" if params.auto else "ints",
            "nimages": params.frames,
            "ntrigger": 1,
            "count_time": period,
            "frame_time": period,
            "incident_energy": 200e3,
            "compression": params.compression,
            "roi_mode": "disabled",
            "countrate_correction_count_cutoff": 60000,
        },
        "detector/status": {"state": params.state, "error": []},
        "stream/config": {
            "mode": "enabled",
            "format": "legacy" if params.stream == "v1" else "cbor",
            "header_detail": params.header_detail,
            "header_appendix": params.appendix,
            "image_appendix": params.appendix,
        },
        "stream/status": {"state": "ready", "dropped": 0},
    }


def poisson(params: DectrisSimulatorParams, channel: int) -> Array:
    """Return the frames of one channel, the same for the same seed."""
    rng = np.random.default_rng([params.seed, channel])
    counts = rng.poisson(params.mean, (params.distinct, *params.shape))
    return counts.astype(params.dtype)
