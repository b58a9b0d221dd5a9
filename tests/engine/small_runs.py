"""Makes small recorded runs, as the recorder does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.packed import AnyBatch
from scopeside.runs import manifest
from scopeside.runs.message import message_of
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind

T0_NS = 1_700_000_000_000_000_000
FRAME_NS = 1_000_000


SHAPE = (4, 6)


def movie(name: str = "m1", **more: Any) -> Acquisition:
    return Acquisition(name, SHAPE, np.dtype("u2"), **more)


def frames_of(index: Any) -> Any:
    """Frame i holds i, and a pattern of its own."""
    number = np.asarray(index, np.int64)[:, None, None]
    pixels = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    return ((number * 31 + pixels) % 65536).astype(np.uint16)


def batch(*index: int) -> Batch:
    numbers = np.array(index, np.int64)
    return Batch(frames_of(numbers), numbers, T0_NS + FRAME_NS * numbers)


class Recording:
    """A run that is being written."""

    def __init__(
        self, folder: Path, acquisition: Acquisition, segment_bytes: int = 1 << 16
    ) -> None:
        self.folder = folder
        self.acquisition = acquisition
        self.writer = RunWriter.create(folder, segment_bytes)
        self.first = {
            "state": manifest.RECORDING,
            "acquisition": acquisition.to_dict(),
            "started_ns": T0_NS,
        }
        manifest.write(folder, self.first)
        self.writer.append(
            Kind.START,
            {"acquisition": acquisition.to_dict(), "epoch": 0, "change": 0},
        )

    def add(self, *batches: AnyBatch) -> Recording:
        for one in batches:
            header, parts, n, first, last, t_ns, t_last_ns = message_of(
                self.acquisition.id, one, change=0
            )
            self.writer.append(
                Kind.BATCH,
                header,
                parts,
                n=n,
                first=first,
                last=last,
                t_ns=t_ns,
                t_last_ns=t_last_ns,
            )
        return self

    def lose(self, first: int, last: int, cause: str = "disk_slow") -> Recording:
        header = {"acq": self.acquisition.id, "epoch": 0}
        header |= {"first": first, "last": last, "cause": cause}
        self.writer.append(Kind.GAP, header, first=first, last=last)
        return self

    def close(self, state: str = "complete", **more: Any) -> Path:
        header = {"acq": self.acquisition.id, "epoch": 0, "state": state, "reason": ""}
        self.writer.append(Kind.END, header)
        segments = self.writer.close()
        last = {"state": state, "reason": "", "ended_ns": T0_NS + 10**9}
        last |= {"records": self.writer.record, "segments": segments}
        manifest.write(self.folder, {**self.first, **last, **more})
        return self.folder

    def kill(self) -> Path:
        """Let it lie as the kernel leaves it when its process is killed."""
        self.writer.abandon()
        return self.folder
