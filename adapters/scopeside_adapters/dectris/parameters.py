"""``[detector] kind = "dectris"``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from scopeside.params import Params

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

PORTS = {"v1": 9999, "v2": 31001}
INTERNAL = ("ints", "inte")
"""Trigger modes in which a command starts the exposure."""


class DectrisParams(Params):
    """Where the detector is, how its stream is read, and what it is set to."""

    host: str = Field(min_length=1)
    """Name or address of the detector control unit."""
    api_port: int = Field(80, ge=0, le=65535)
    """TCP port of the SIMPLON interface; 0: there is none, only the stream is read."""
    stream: Literal["v1", "v2"] = "v2"
    """v1 (legacy) or v2 (CBOR, firmware from 2022.1 on)."""
    port: int | None = Field(None, ge=1, le=65535)
    """TCP port of the stream; absent: 9999 for v1, 31001 for v2."""
    channel: str = ""
    """Channel to take, such as threshold_1 (v2); absent: the first."""
    arm: StrictBool = False
    """true: configure and arm, again after every series; false: somebody else does,
    we listen."""
    initialize: StrictBool = False
    """With `arm`: initialise a detector in state na or error, which resets it."""

    trigger_mode: Literal["ints", "inte", "exts", "exte"] | None = None
    """Who starts an exposure; absent: as it is set, as all below."""
    nimages: Count | None = None
    """Images a trigger."""
    ntrigger: Count | None = None
    """Triggers a series."""
    count_time_s: Positive | None = None
    """Exposure, s."""
    frame_time_s: Positive | None = None
    """From one image to the next, s."""
    compression: Literal["bslz4", "lz4", "none"] | None = None
    """How images are compressed."""
    roi_mode: str | None = None
    """Region of interest, such as lines."""
    roi_y_size: Count | None = None
    """Lines of the region of interest."""
    roi_bit_depth: Literal[8, 16, 32] | None = None
    """Bits of a pixel with a region of interest."""
    binning_mode: str | None = None
    """Binning on the detector (ARINA)."""
    pixel_format: str | None = None
    """What is sent of a pixel (ARINA)."""
    incident_energy_eV: Positive | None = None  # noqa: N815 - eV is the unit's name
    """Energy of the electrons, eV."""
    threshold_energy_eV: Positive | None = None  # noqa: N815 - as above
    """Energy that counts, eV."""
    header_detail: Literal["none", "basic", "all"] = "basic"
    """How much the header tells; all adds tables that are not used here."""
    others: dict[str, Any] = {}
    """Further keys of the detector module by their own names."""

    packed: StrictBool = False
    """true: hand images on as they came; the workers unpack them. For rates that one
    process cannot decode."""
    decoders: int | None = Field(None, ge=1, le=64)
    """Cores that decode; absent: half of those there are, at most 8."""
    pullers: int = Field(1, ge=1, le=16)
    """Links to the stream."""
    io_threads: int = Field(1, ge=1, le=16)
    """Threads that read from the network; no more than links are of use."""
    rcvhwm: int | None = Field(None, ge=1, le=1_000_000)
    """Messages that wait here; absent: about 256 MiB of images."""
    rcvbuf_kib: int | None = Field(None, ge=8, le=1 << 20)
    """Buffer of a link in the kernel, KiB; absent: the kernel adapts it."""
    max_message_mib: int = Field(256, ge=1, le=4096)
    """Largest message, MiB; larger ones are refused before they are stored."""
    api_timeout_s: Positive = 5.0
    """For an answer of the SIMPLON interface, s."""
    silence_s: Positive = 30.0
    """A series of which nothing is heard for so long has failed, unless the detector
    says that it waits for triggers, s."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.arm and not self.api_port:
            raise ValueError("arm = true needs the SIMPLON interface: set api_port")
        if self.channel and self.stream == "v1":
            raise ValueError('stream = "v1" has one channel: leave channel out')
        if twice := sorted(self.others.keys() & _OWN_KEYS):
            raise ValueError(f"others: {', '.join(twice)} has a setting of its own")
        asked = [name for name in self.model_fields_set if name in _ARMED]
        if asked and not self.arm:
            raise ValueError(
                f"{', '.join(sorted(asked))}: only with arm = true; a listener sets "
                "nothing"
            )
        return self

    @property
    def stream_port(self) -> int:
        """The port of the stream."""
        return self.port or PORTS[self.stream]

    @property
    def name(self) -> str:
        """Who it is, for messages."""
        return f"DECTRIS at {self.host}"

    def settings(self) -> dict[str, Any]:
        """Return what is asked for, by the detector's own keys, in a safe order.

        Regions first, as they reset the times; the frame time after the count time.
        """
        asked = {
            "roi_mode": self.roi_mode,
            "roi_y_size": self.roi_y_size,
            "roi_bit_depth": self.roi_bit_depth,
            "binning_mode": self.binning_mode,
            "pixel_format": self.pixel_format,
            "incident_energy": self.incident_energy_eV,
            "threshold_energy": self.threshold_energy_eV,
            **self.others,
            "trigger_mode": self.trigger_mode,
            "nimages": self.nimages,
            "ntrigger": self.ntrigger,
            "count_time": self.count_time_s,
            "frame_time": self.frame_time_s,
            "compression": self.compression,
        }
        return {key: value for key, value in asked.items() if value is not None}


_OWN_KEYS = {"trigger_mode", "nimages", "ntrigger", "count_time", "frame_time"}
_OWN_KEYS |= {"compression", "roi_mode", "roi_y_size", "roi_bit_depth"}
_OWN_KEYS |= {"binning_mode", "pixel_format", "incident_energy", "threshold_energy"}
_ARMED = {
    "initialize",
    "trigger_mode",
    "nimages",
    "ntrigger",
    "count_time_s",
    "frame_time_s",
    "compression",
    "roi_mode",
    "roi_y_size",
    "roi_bit_depth",
    "binning_mode",
    "pixel_format",
    "incident_energy_eV",
    "threshold_energy_eV",
    "header_detail",
    "others",
}
