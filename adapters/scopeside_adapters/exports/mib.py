"""Quantum Detectors Merlin .mib with its .hdr, as `scopeside_adapters.medipix` has it.

A frame is a header of 384 bytes and its pixels, big endian, the bottom row first. What
is not known (thresholds, DACs) is left out, as a short header of a Merlin does.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from scopeside.export.axes import axes_of
from scopeside.export.exporter import FrameExporter, Progress, Source
from scopeside.export.frames import RunFrames
from scopeside.export.places import IntArray
from scopeside.params import Params
from scopeside_adapters.exports.facts import number, started
from scopeside_adapters.exports.npy import BLOCK_BYTES
from scopeside_adapters.medipix import PixelFormat
from scopeside_adapters.merlin.recording import frame_header

_LAYOUT = "1x1"
_HEADER_BYTES = 384
_KINDS = {1: ("U08", 6), 2: ("U16", 12), 4: ("U32", 24)}
"""Pixel type and counter depth by bytes of a pixel."""


class MibParams(Params):
    """There is nothing to choose."""


class MibExport(FrameExporter):
    """Merlin .mib with .hdr: frames with their times; unsigned counts only."""

    Params: ClassVar[type[MibParams]] = MibParams
    suffix: ClassVar[str] = ".mib"

    def __init__(self, params: MibParams) -> None:
        del params

    def check(self, source: Source) -> list[str]:
        """Refuse pixels that a Merlin does not have."""
        dtype = source.pixels.dtype
        if dtype.kind == "u" and dtype.itemsize in _KINDS:
            return []
        return [
            f"mib holds uint8, uint16 or uint32, and these frames are {dtype.name}: "
            "use hspy, nexus, zarr, tiff, npy or npz"
        ]

    def names(self, target: Path) -> list[Path]:
        """Return the frames, and the header of the acquisition."""
        return [target, target.with_suffix(".hdr")]

    def size(self, source: Source) -> int:
        """Return the size of all pixels with their headers."""
        return super().size(source) + _HEADER_BYTES * len(source.pixels.places)

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write the frames in order of place, then the header."""
        frames = source.pixels
        kind, depth = _KINDS[frames.dtype.itemsize]
        pixels = PixelFormat(
            0,
            frames.dtype,
            frames.acquisition.frame_shape,
            frames.acquisition.frame_bytes,
        )
        stored = frames.dtype.newbyteorder(">")
        exposure_s = _exposure_s(frames)
        times = _times(frames)
        n = max(1, BLOCK_BYTES // frames.acquisition.frame_bytes)
        with target.open("wb") as file:
            for first, block in frames.blocks(n):
                for k, frame in enumerate(block[:, ::-1].astype(stored)):
                    header = frame_header(
                        first + k + 1,
                        pixels,
                        kind,
                        _LAYOUT,
                        depth=depth,
                        time=f"{times[first + k]}Z",
                        shutter_s=exposure_s,
                        short=True,
                    )
                    file.write(header)
                    file.write(frame.data.cast("B"))
                progress(first + len(block), len(frames.places))
        described = target.with_suffix(".hdr")
        described.write_bytes(_hdr(source, depth).encode("latin1", "replace"))
        return [f"{described.name} has the scan, the steps and which frames are absent"]


def _exposure_s(frames: RunFrames) -> float:
    """Return the exposure of a frame, s; 0 where nobody has said, as a Merlin does."""
    said = number(frames.acquisition.calibration, "exposure_s", "frame_time_s")
    return said or 0.0


def _times(frames: RunFrames) -> npt.NDArray[np.datetime64]:
    """Return the time of each place; an absent frame has that of the one before."""
    there = np.flatnonzero(frames.present)
    if not len(there):
        return np.zeros(len(frames.places), "datetime64[ns]")
    before: IntArray = np.searchsorted(there, np.arange(len(frames.places)), "right")
    which = there[np.maximum(before - 1, 0)]
    return frames.times_ns[which].astype("datetime64[ns]")


def _hdr(source: Source, depth: int) -> str:
    """Return the text of the .hdr file."""
    frames = source.pixels
    shape = frames.places.shape
    began = started(source)
    # A list is one row: readers that find 1 guess rows from the intervals.
    lines = {
        "Time and Date Stamp (day, mnth, yr, hr, min, s)": f"{began:%d/%m/%Y %H:%M:%S}"
        if began
        else "",
        "Assembly Size (NX1, 2X2)": f"{_LAYOUT:>6}",
        "Counter Depth (number)": str(depth),
        "Active Counters": "Counter 0",
        "Frames in Acquisition (Number)": str(len(frames.places)),
        "Frames per Trigger (Number)": str(shape[-1]),
        "Software Version": "scopeside",
        "Frames Absent (Number)": str(int((~frames.present).sum())),
        "Frames Absent (first-last)": " ".join(f"{a}-{b}" for a, b in frames.absent),
    }
    if len(shape) > 1:
        rows = len(frames.places) // shape[-1]
        lines |= {"ScanX": str(shape[-1]), "ScanY": str(rows)}
    for axis in axes_of(frames):
        if axis.unit:
            lines[f"{axis.name} step ({axis.unit})"] = f"{axis.scale:.9g}"
    return "\n".join(["HDR,\t", *(f"{k}:\t{v}" for k, v in lines.items()), "End\t"])
