"""``[detector] kind = "video"``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, ValidationInfo, model_validator

from scopeside.params import Params

Positions = Annotated[int, Field(ge=1, strict=True)]
Edge = Annotated[int, Field(ge=0, strict=True)]


class VideoParams(Params):
    """``[detector] kind = "video"``."""

    input: str = Field(min_length=1)
    """A movie, or what FFmpeg opens: rtsp://…, http://…, udp://…, /dev/video0 …"""
    format: str | None = None
    """FFmpeg's name of the format where it cannot be told: "v4l2", "lavfi" …"""
    options: Mapping[str, str] = {}
    """FFmpeg's own options, such as { rtsp_transport = "tcp" }."""
    stream: int = Field(0, ge=0)
    """Which video stream, from 0."""
    crop: tuple[Edge, Edge, Edge, Edge] | None = None
    """The part to take as [top, left, bottom, right], pixels; bottom and right are the
    first that are left out."""
    levels: Literal["keep", "full"] = "keep"
    """keep: luma as it is stored; full: limited range (16 to 235 of 8 bits) is
    stretched to the full range."""
    fps: float | None = Field(None, gt=0, le=1e6)
    """The true rate of the camera, frames a second; absent: the time stamps of the
    stream."""
    gaps: Literal["auto", "pts", "none"] = "auto"
    """pts: a jump in the time stamps is a gap; auto: the same for a live stream that
    says a constant rate; none: jumps are only told."""
    repeated: Literal["keep", "drop"] = "keep"
    """drop: a frame equal to the one before is left out and counted."""
    realtime: StrictBool = False
    """Whether a movie is played at its own rate, not as fast as it is taken."""
    frames: Positions | None = None
    """Length of an acquisition; further frames begin the next one."""
    scan: tuple[Positions, Positions] | None = None
    """Probe positions as [rows, columns]; [acquisition] scan comes first."""
    reconnect_s: float | None = Field(2.0, gt=0)
    """After a live stream has ended, try again so often, s; none given: not at all."""
    connect_s: float = Field(10.0, gt=0)
    """A stream must open within this time, s."""
    silence_s: float = Field(5.0, gt=0)
    """No frame for so long: the stream is lost, s."""

    @model_validator(mode="before")
    @classmethod
    def _beside_the_pipeline_file(cls, table: Any, info: ValidationInfo) -> Any:
        folder = (info.context or {}).get("folder")
        text = table.get("input") if isinstance(table, dict) else None
        if folder is None or not isinstance(text, str):
            return table
        if table.get("format") or "://" in text or Path(text).is_absolute():
            return table
        return {**table, "input": str(Path(folder) / text)}

    @model_validator(mode="after")
    def _crop_holds_pixels(self) -> Self:
        if self.crop is not None:
            top, left, bottom, right = self.crop
            if bottom <= top or right <= left:
                raise ValueError(
                    f"crop = {list(self.crop)} holds no pixels; expected [top, left, "
                    "bottom, right]"
                )
        return self

    @property
    def live(self) -> bool:
        """Whether frames come when they please: a stream or a camera."""
        if self.format == "lavfi":
            return False
        return not self.input.startswith("file:") and (
            "://" in self.input or self.input.startswith("/dev/") or bool(self.format)
        )
