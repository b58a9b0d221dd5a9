"""The tables of the pipeline file that the engine itself reads."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from scopeside.acquisition import Acquisition, Kind
from scopeside.join import Join
from scopeside.params import LocalPath, Params
from scopeside.positions import read_positions
from scopeside.record.settings import RecordSettings
from scopeside.scan import Pattern, Scan
from scopeside.security.bulk import checked_results

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected a letter, then at most 31 letters, digits, '_' or '-' (no spaces)"
        )
    return name


def _scan_shape(value: Any) -> Any:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(type(n) is int and n >= 1 for n in pair):
        raise ValueError(
            "expected [rows, columns], two whole numbers of 1 or more: the probe "
            "positions"
        )
    return pair


def _device(value: Any) -> Any:
    if re.fullmatch(r"auto|cpu|gpu(:\d+)?", str(value)) is None:
        raise ValueError("expected 'auto', 'cpu', 'gpu' or 'gpu:N' with N = 0, 1 …")
    return value


Name = Annotated[str, AfterValidator(_plain_name)]
Port = Annotated[int, Field(ge=1, le=65535)]


class AcquisitionSettings(Params):
    """``[acquisition]``: what the detector does not say, or says wrongly."""

    kind: Kind | None = None
    """scan4d, movie, spectrum_image or tilt_series; scan4d when there is a scan."""
    scan: Annotated[tuple[int, int] | None, BeforeValidator(_scan_shape)] = None
    """Probe positions as [rows, columns]."""
    pattern: Pattern | None = None
    """raster: every row left to right; snake: every second row back; positions: as
    `positions` lists them."""
    positions: LocalPath | None = None
    """File with a row and a column for each visit: .npy of shape (n, 2), or text."""
    flyback: int = Field(0, ge=0)
    """Frames to skip after each row (with `positions`: after each scan)."""
    flyback_lines: int = Field(0, ge=0)
    """Lines to skip after each scan, while the beam returns to the first row."""
    offset: int = 0
    """Frames that come before the first probe position; negative: so many positions
    are over before the first frame."""
    scans: int = Field(1, ge=1, le=1_000_000)
    """Scans in one acquisition, one after another."""
    line_pause_ms: float | None = Field(None, gt=0)
    """Frames further apart than this lie in two lines: each line is numbered anew, so
    that one that is short or long does not shift the next. Absent: by count alone."""
    calibration: dict[str, Any] = {}
    """SI values by name, such as beam_energy_eV, semi_angle_rad, pixel_size_m."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.pattern == "positions" and self.positions is None:
            raise ValueError("pattern = 'positions' needs positions = 'FILE'")
        if self.positions is None:
            return self
        if self.pattern not in (None, "positions"):
            raise ValueError(
                f"positions are listed, so pattern cannot be {self.pattern!r}; leave "
                "it out"
            )
        if self.scan is None:
            raise ValueError("positions needs scan = [rows, columns], the grid")
        if self.line_pause_ms is not None:
            raise ValueError("line_pause_ms is for rows; positions has none")
        return self

    def scan_of(self, shape: tuple[int, int] | None = None) -> Scan | None:
        """Return the scan: as set here, else of the `shape` that the detector says.

        Raises
        ------
        ConfigError
            If the file of `positions` is of no use.
        """
        shape = self.scan or shape
        if shape is None:
            return None
        listed = self.positions
        return Scan(
            shape,
            "positions" if listed is not None else self.pattern or "raster",
            self.flyback,
            self.flyback_lines,
            self.offset,
            self.scans,
            b"" if listed is None else read_positions(listed, shape),
        )

    def complete(self, acquisition: Acquisition) -> Acquisition:
        """Return `acquisition` with what is set here in place of what it says."""
        said = acquisition.to_dict()
        scan = self._scan_instead_of(acquisition.scan)
        if scan is not None:
            said["scan"] = scan.to_dict()
            said["frames"] = scan.frames
            said["kind"] = "scan4d"
        if self.kind is not None:
            said["kind"] = self.kind
        said["calibration"] = {**said["calibration"], **self.calibration}
        return Acquisition.from_dict(said)

    def _scan_instead_of(self, said: Scan | None) -> Scan | None:
        """Return the scan that replaces what the detector said; None: it stands."""
        path = {"pattern", "positions", "flyback", "flyback_lines", "offset", "scans"}
        if self.scan is not None:
            return self.scan_of()
        if said is None or not path & self.model_fields_set:
            return None
        return self.scan_of(said.shape)


class EdgePolicy(BaseModel):
    """How a chain is fed: ``lossless``, ``latest``, ``sample:n`` or ``bounded:k``."""

    model_config = ConfigDict(frozen=True)

    policy: Literal["lossless", "latest", "sample", "bounded"]
    number: int = 1

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Read the policy as it is written in a pipeline file."""
        allowed = "'lossless', 'latest', 'sample:n' or 'bounded:k' with n, k = 1, 2 …"
        if isinstance(text, cls):
            return text
        if text in ("lossless", "latest"):
            return cls(policy=text)
        found = re.fullmatch(r"(sample|bounded):([1-9]\d{0,5})", str(text))
        if found is None:
            raise ValueError(f"expected {allowed}")
        return cls.model_validate({"policy": found[1], "number": int(found[2])})

    def __str__(self) -> str:
        return (
            f"{self.policy}:{self.number}"
            if self.policy in ("sample", "bounded")
            else self.policy
        )


class SlabSettings(Params):
    """``[slab]``: shared memory for frames."""

    mib: int = Field(256, ge=1, le=1 << 20)
    """Size of the slab, MiB. It bounds how far a slow reader may fall behind."""
    batch_kib: int = Field(4096, ge=4, le=1 << 20)
    """A batch is closed at this size, KiB (at least one frame)."""
    max_latency_ms: float = Field(2.0, gt=0, le=10_000)
    """Frames wait so long in a slot for others to fill it, ms."""


class EngineSettings(Params):
    """``[engine]``: how long to wait, how often to restart."""

    restarts: int = Field(3, ge=0, le=1000)
    """Restarts of one process within `window_s`; then it is DEGRADED."""
    window_s: float = Field(60.0, gt=0)
    """Over which restarts are counted, s."""
    stall_s: float = Field(60.0, gt=0)
    """A process that sits on one batch for so long is killed and restarted, s."""
    silent_s: float = Field(10.0, gt=0)
    """A process without a heartbeat for so long is killed and restarted, s."""
    wait_s: float = Field(120.0, gt=0)
    """A lossless edge that makes no progress for so long while the slab is full
    gives up its oldest batch as a declared gap, s."""
    drain_s: float = Field(30.0, gt=0)
    """After a stop is asked for, frames may take so long to be processed, s."""


class ServerSettings(Params):
    """``[metrics]``, and part of ``[results]``: where others may read."""

    port: Port | None = None
    """TCP port on 127.0.0.1; by default the usual one, or a free one if taken."""


class ResultsSettings(ServerSettings):
    """``[results]``: where others may read, also from other machines."""

    bind: Annotated[str, AfterValidator(checked_results)] | None = None
    """Also at this address, ``tcp://ADDRESS:PORT``, for programs with keys."""
    keys: LocalPath | None = None
    """The key folder (0700): its programs with the role `observe` may subscribe."""

    @model_validator(mode="after")
    def _needs_keys(self) -> Self:
        if self.bind is not None and self.keys is None:
            raise ValueError(
                f"bind = '{self.bind}': other machines could reach it; that needs "
                "keys = 'FOLDER', which scopeside keys new NAME --role observe makes"
            )
        if self.keys is not None and self.bind is None:
            raise ValueError("keys go with bind = 'tcp://ADDRESS:PORT'")
        return self


class RawChain(Params):
    """One ``[[chain]]``: processors that see the same frames one after another."""

    name: Name
    """Unique name; it is the edge's name in the ledger."""
    device: Annotated[str, BeforeValidator(_device)] = "auto"
    """auto, cpu, gpu or gpu:N."""
    edge: Annotated[EdgePolicy, BeforeValidator(EdgePolicy.parse)] = EdgePolicy(
        policy="lossless"
    )
    """lossless, latest, sample:n or bounded:k."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that share the work; more than one only where order is free."""
    processor: tuple[dict[str, Any], ...] = Field(min_length=1)
    """The processors in order, as [[chain.processor]] tables."""


class ChannelSettings(Params):
    """One ``[[channel]]``: samples beside the frames; other keys are its kind's."""

    name: Name
    """Unique name; its joined series bears it."""
    kind: str = Field(min_length=1)
    """csv, zmq, epics, another that is installed, or package.module:Class."""
    tolerance_s: float = Field(gt=0, le=1e8)
    """How far a sample may lie from the time of a frame and still belong to it, s."""
    join: Join = "previous"
    """previous: the last sample not later than the frame; nearest; linear: between
    the samples on either side."""
    unit: str = Field("", max_length=32)
    """Unit of the values, in words: K, V, mbar …"""
    offset_s: float = Field(0.0, ge=-1e9, le=1e9)
    """Added to the device's times, where its clock is off, s."""
    wait_s: float = Field(1.0, ge=0, le=5)
    """At the end of an acquisition so long is waited for a sample later than its last
    frame, s."""
    required: bool = False
    """Whether a run that loses the channel, or never hears it, has failed."""

    @property
    def tolerance_ns(self) -> int:
        """The tolerance in nanoseconds."""
        return round(self.tolerance_s * 1e9)

    @property
    def offset_ns(self) -> int:
        """The offset in nanoseconds."""
        return round(self.offset_s * 1e9)

    @property
    def silent_after_s(self) -> float:
        """Nothing for so long: the channel is silent, and is not waited for, s."""
        return max(self.tolerance_s, self.wait_s)


class RawPipeline(Params):
    """The whole file; detector, processors, channels are checked by their plug-ins."""

    detector: dict[str, Any]
    acquisition: AcquisitionSettings = AcquisitionSettings()
    chain: tuple[RawChain, ...] = Field(min_length=1)
    channel: tuple[dict[str, Any], ...] = ()
    control: dict[str, Any] | None = None
    record: RecordSettings | None = None
    slab: SlabSettings = SlabSettings()
    engine: EngineSettings = EngineSettings()
    results: ResultsSettings = ResultsSettings()
    metrics: ServerSettings = ServerSettings()

    @field_validator("chain")
    @classmethod
    def _names_differ(cls, chains: tuple[RawChain, ...]) -> tuple[RawChain, ...]:
        names = [chain.name for chain in chains]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two chains are called {name!r}; names must differ")
        return chains

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.slab.batch_kib * 4 > self.slab.mib * 1024:
            raise ValueError(
                f"slab.batch_kib = {self.slab.batch_kib} needs slab.mib of at least "
                f"{-(-self.slab.batch_kib * 4 // 1024)}: the slab holds four batches "
                "or more"
            )
        return self
