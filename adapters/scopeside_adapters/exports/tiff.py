"""BigTIFF: a page for each frame, one behind the other, uncompressed.

The pixel size stands in the resolution tags of TIFF and in those private tags of
DigitalMicrograph that HyperSpy and others read; all else as JSON in the description.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tifffile

from scopeside.batch import Array
from scopeside.export.axes import Axis, axes_of
from scopeside.export.exporter import FrameExporter, Progress, Source
from scopeside.export.frames import RunFrames
from scopeside.params import Params
from scopeside_adapters.exports.facts import as_json, tree_of
from scopeside_adapters.exports.hyperspy_form import NONE, axis_of
from scopeside_adapters.exports.npy import BLOCK_BYTES

_PAGE_BYTES = 512
"""Of the description of a page."""
_X_UNIT, _Y_UNIT, _Z_UNIT = 65003, 65004, 65005
"""Of DigitalMicrograph; the origin has the number 3 higher, the scale 6."""
_CENTIMETRE = 1e-2
_LARGEST = 1 << 31


class TiffParams(Params):
    """There is nothing to choose."""


class TiffExport(FrameExporter):
    """BigTIFF .tif: a page for each frame, pixel size, facts as JSON."""

    Params: ClassVar[type[TiffParams]] = TiffParams
    suffix: ClassVar[str] = ".tif"

    def __init__(self, params: TiffParams) -> None:
        del params

    def size(self, source: Source) -> int:
        """Return the size of all pixels, and of the description of each page."""
        return super().size(source) + _PAGE_BYTES * len(source.pixels.places)

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write the pages in order of place."""
        frames = source.pixels
        axes = axes_of(frames)
        facts = target.with_name(f"{target.name}.json")
        with tifffile.TiffWriter(target, bigtiff=True) as file:
            file.write(
                _pages(frames, progress),
                shape=frames.shape,
                dtype=frames.dtype,
                photometric="minisblack",
                metadata={"axes": _letters(axes), "units": [a.unit for a in axes]},
                extratags=_tags(axes),
                software="scopeside",
                **_resolution(axes[-2:]),
            )
        facts.write_text(as_json(tree_of(source)), encoding="utf-8")
        return [f"absent frames and other facts are in {facts.name}"]

    def names(self, target: Path) -> list[Path]:
        """Return the pages, and what is said of them."""
        return [target, target.with_name(f"{target.name}.json")]


def _pages(frames: RunFrames, progress: Progress) -> Iterator[Array]:
    total = len(frames.places)
    n = max(1, BLOCK_BYTES // frames.acquisition.frame_bytes)
    for first, pixels in frames.blocks(n):
        yield from pixels
        progress(first + len(pixels), total)


def _letters(axes: list[Axis]) -> str:
    """Return a letter for each axis: T for time, Q for one that TIFF does not know."""
    navigation = "".join("T" if one.name == "time" else "Q" for one in axes[:-2])
    return f"{navigation}YX"


def _resolution(axes: list[Axis]) -> dict[str, Any]:
    """Return pixels per centimetre, or per radian without a unit, across and down."""
    unit = axes[0].unit
    if not unit:
        return {}
    across = _CENTIMETRE if unit == "m" else 1.0
    per = [across / axis.scale for axis in reversed(axes)]
    if not all(0 < one < _LARGEST for one in per):
        return {}
    name = "CENTIMETER" if unit == "m" else "NONE"
    return {"resolution": (per[0], per[1]), "resolutionunit": name}


def _tags(axes: list[Axis]) -> list[tuple[int, str, int, Any, bool]]:
    """Return unit, origin and scale of the last axes as DigitalMicrograph has them."""
    found: list[tuple[int, str, int, Any, bool]] = []
    places = [(axes[-1], _X_UNIT), (axes[-2], _Y_UNIT)]
    if axes[0].name == "time":
        places.append((axes[0], _Z_UNIT))
    for axis, tag in places:
        said = axis_of(axis)
        if said["units"] == NONE:
            continue
        found += [
            (tag, "s", 0, said["units"], True),
            (tag + 3, "d", 1, said["offset"], True),
            (tag + 6, "d", 1, said["scale"], True),
        ]
    return found
