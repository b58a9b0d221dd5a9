"""NumPy's .npy, with what belongs to it as .json beside it."""

from __future__ import annotations

from pathlib import Path
from typing import IO, ClassVar

from numpy.lib import format as npy

from scopeside.export.exporter import FrameExporter, Progress, Source
from scopeside.export.frames import RunFrames
from scopeside.params import Params
from scopeside_adapters.exports.facts import as_json, tree_of

BLOCK_BYTES = 4 << 20


class NpyParams(Params):
    """There is nothing to choose."""


class NpyExport(FrameExporter):
    """NumPy .npy: the bare array, mapped by every reader; facts beside it as .json."""

    Params: ClassVar[type[NpyParams]] = NpyParams
    suffix: ClassVar[str] = ".npy"

    def __init__(self, params: NpyParams) -> None:
        del params

    def names(self, target: Path) -> list[Path]:
        """Return the array, and what is said of it."""
        return [target, target.with_name(f"{target.name}.json")]

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write the array in its own order."""
        with target.open("wb") as file:
            write_npy(file, source.pixels, progress)
        facts = target.with_name(f"{target.name}.json")
        facts.write_text(as_json(tree_of(source)), encoding="utf-8")
        return [f"calibrations and absent frames are in {facts.name}"]


def write_npy(file: IO[bytes], frames: RunFrames, progress: Progress) -> None:
    """Write all frames as an array in the form of NumPy, a few at a time."""
    said = {
        "descr": frames.dtype.str,
        "fortran_order": False,
        "shape": frames.shape,
    }
    npy.write_array_header_2_0(file, said)
    n = max(1, BLOCK_BYTES // frames.acquisition.frame_bytes)
    total = len(frames.places)
    for first, pixels in frames.blocks(n):
        file.write(pixels.data.cast("B"))
        progress(first + len(pixels), total)
