"""The ``[detector]`` table of a Timepix3."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from scopeside.params import LocalPath, Params
from scopeside_adapters.timepix3.link import (
    check_address,
    host_and_port,
    is_loopback,
)
from scopeside_adapters.timepix3.scan import Signal

Address = Annotated[str, AfterValidator(check_address)]
ChipPlace = tuple[int, int, int, str]


class Timepix3Params(Params):
    """``[detector] kind = "timepix3"``."""

    stream: Literal["raw", "csr", "images"] = "raw"
    """raw: TPX3 words; csr: ASI's sparse frames; images: integrated by Serval."""
    listen: Address = "127.0.0.1:8085"
    """HOST:PORT at which Serval connects to us."""
    accept_from: tuple[str, ...] = ()
    """Addresses that may connect; needed when others than this machine can."""
    connect: Address | None = None
    """HOST:PORT that we connect to, instead of listening."""
    path: LocalPath | None = None
    """A .tpx3 file to play instead."""
    paced: StrictBool = False
    """Play a file as slowly as it was recorded."""
    serval: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    """Serval's address, such as http://127.0.0.1:8080."""
    arm: StrictBool = False
    """Set destination and settings in Serval, start measurements and stop them."""
    measurements: int = Field(1, ge=0)
    """How many measurements to start when armed; 0: no end."""
    advertise: Address | None = None
    """HOST:PORT by which Serval reaches us; absent: as in listen."""
    config: dict[str, Any] = {}
    """Keys of Serval's detector settings to set when armed, such as { BiasVoltage =
    100 }; Tdc and GlobalTimestampInterval are set as the scan needs unless given."""
    layout: (
        Literal["auto", "single", "quad", "quad_flipped", "strip"]
        | tuple[ChipPlace, ...]
    ) = "auto"
    """Where the chips lie: a name, or [number, x, y, orientation] of each; auto: what
    Serval says, single without Serval."""
    output: Literal["events", "frames"] = "events"
    """events: probe positions with their events; frames: made into frames here."""
    value: Literal["count", "tot"] = "count"
    """count: each hit is 1; tot: each hit is its time over threshold."""
    signal: Signal | None = None
    """line, pixel, frame: what an edge begins; none: exposures. Absent: line with a
    scan, none without."""
    tdc: Literal[1, 2] = 1
    """TDC input of that signal."""
    invert: StrictBool = False
    """The falling edge begins and the rising ends."""
    frame_tdc: Literal[0, 1, 2] = 0
    """TDC input whose rising edge says that the next line is the first; 0: none."""
    active_us: float | None = Field(None, gt=0, le=13e6)
    """Lit part of a line; absent: from its falling edge."""
    duty: float | None = Field(None, gt=0, le=1)
    """Lit part as a share of the measured period, where falling edges are not sent."""
    period_us: float | None = Field(None, gt=0, le=13e6)
    """From line to line; needed with signal = "frame"."""
    delay_ns: float = Field(0.0, ge=-1e9, le=1e9)
    """Added to the time of every edge: the beam is later than the signal."""
    reorder_ms: float = Field(5.0, gt=0, le=1000)
    """Lines are held open for so long, for hits and edges that come late."""
    counter_step: Literal[0, 1, 2] = 0
    """By what the TDC counter grows from line to line; 0: found out."""
    exposure_s: float = Field(0.1, gt=0, le=13)
    """Of each frame when there is no scan."""
    frames: int | None = Field(None, ge=1)
    """Frames that make an acquisition when there is no scan; absent: no end."""
    image_format: Literal["jsonimage", "pgm"] = "jsonimage"
    """What images to ask Serval for when armed; either is understood."""
    image_mode: Literal["count", "tot", "toa"] = "count"
    """What their pixels are, when armed."""
    image_channel: dict[str, Any] = {}
    """Further keys of the image channel when armed, such as { IntegrationSize = 10
    }."""
    threshold: int | None = Field(None, ge=0)
    """thresholdID of the images to take; absent: that of the first."""
    cluster: StrictBool = False
    """One event for each electron, at the centre of its hits; slower."""
    cluster_window_ns: float = Field(200.0, gt=0, le=1e6)
    """Hits of an electron come within so long of another of its hits."""
    cluster_radius: int = Field(2, ge=1, le=64)
    """And within so many rows and columns."""
    max_message_mib: int = Field(256, ge=1, le=4096)
    """Largest message of a csr stream, or image, MiB; larger ones are refused."""
    quiet_s: float = Field(1.0, gt=0)
    """After so long a silence lines are taken to have ended, without more words."""
    silence_s: float = Field(30.0, gt=0)
    """An acquisition of which nothing is heard for so long has failed."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.connect is not None and self.path is not None:
            raise ValueError("connect and path exclude each other")
        if self.path is not None and self.stream != "raw":
            raise ValueError("path plays .tpx3 files, which are stream = 'raw'")
        if self.path is None and self.connect is None:
            self._check_listen()
        if self.arm and self.serval is None:
            raise ValueError("arm needs serval, the address of Serval")
        if self.arm and (self.path is not None or self.connect is not None):
            raise ValueError("arm has Serval connect to us: leave out path and connect")
        if self.arm and self.stream == "csr":
            raise ValueError("arm has Serval send its raw stream or images, not csr")
        return self

    def _check_listen(self) -> None:
        if not is_loopback(self.listen) and not self.accept_from and not self.serval:
            raise ValueError(
                f"listen = {self.listen!r} is open to other machines: say in "
                "accept_from which addresses may connect, or give serval"
            )

    @model_validator(mode="after")
    def _signal_is_complete(self) -> Self:
        if self.signal == "frame" and not (
            self.period_us and (self.active_us or self.duty)
        ):
            raise ValueError(
                "signal = 'frame' needs period_us, and active_us or duty: lines are "
                "counted from the frame's edge"
            )
        if self.active_us and self.duty:
            raise ValueError("active_us and duty exclude each other")
        if self.active_us and self.period_us and self.active_us > self.period_us:
            raise ValueError("active_us is longer than period_us")
        if self.frame_tdc and self.frame_tdc == self.tdc:
            raise ValueError("frame_tdc and tdc are the same input")
        return self

    @property
    def allowed(self) -> frozenset[str]:
        """Who may connect to us; empty: anybody who can."""
        if is_loopback(self.listen):
            return frozenset(self.accept_from)
        host = []
        if self.serval is not None:
            address = self.serval.split("://")[1].rstrip("/")
            host = [host_and_port(address)[0] if ":" in address else address]
        return frozenset([*self.accept_from, *host])
