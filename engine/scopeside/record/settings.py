"""``[record]`` of the pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from scopeside.params import LocalPath, Params

EDGE = "record"
"""Name of the recorder's edge in the ledger; no chain may have it."""


class RecordSettings(Params):
    """What is recorded, where, and how much may wait for the disk."""

    to: LocalPath = Path("runs")
    """Folder of runs; each acquisition gets a folder of its own in it."""
    mode: Literal["all", "on_event"] = "all"
    """all: every frame; on_event: only what surrounds events."""
    before_s: float = Field(10.0, ge=0, le=3600)
    """on_event: so long before an event is kept, s, by the frames' time stamps."""
    after_s: float = Field(60.0, ge=0, le=86_400)
    """on_event: so long after it, s."""
    on: tuple[str, ...] = ()
    """on_event: which events, as processor.result; by default all events."""
    late_s: float = Field(5.0, ge=0, le=600)
    """on_event: so long after its frame a processor may still tell of an event, s."""
    spool_mib: int = Field(512, ge=16, le=1 << 20)
    """Memory for what waits for the disk, or for an event, MiB; reserved at the
    start. When it is full, frames are given up, as a declared gap."""
    segment_mib: int = Field(1024, ge=1, le=1 << 16)
    """Size of a segment file, MiB; one batch that is larger has one of its own."""
    sync_s: float = Field(1.0, ge=0.05, le=3600)
    """What is written is brought to the disk so often, s: a power cut can cost it."""
    keep_free_mib: int = Field(1024, ge=0, le=1 << 24)
    """So much of the disk is left free, MiB: it counts as full before."""
    results_s: float = Field(5.0, ge=0.2, le=3600)
    """Results beside the recording are brought up to date so often, s."""

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        mine = {"before_s", "after_s", "on", "late_s"} & self.model_fields_set
        if self.mode == "all" and mine:
            raise ValueError(f"{', '.join(sorted(mine))}: only with mode = 'on_event'")
        return self


def credit_of(slots: int) -> int:
    """Return how many batches of the slab the recorder may hold at a time."""
    return min(32, max(2, slots // 4))
