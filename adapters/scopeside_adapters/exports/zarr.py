"""Zarr folders with named, calibrated axes, as xarray and dask read them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from scopeside.export.axes import axes_of
from scopeside.export.exporter import Progress, Source
from scopeside_adapters.exports.chunked import ChunkedExporter
from scopeside_adapters.exports.facts import tree_of
from scopeside_adapters.exports.kept import kept_of
from scopeside_adapters.exports.zarr_folder import ZarrFolder
from scopeside_adapters.exports.zarr_frames import write_frames

_NAMES = "_ARRAY_DIMENSIONS"
"""The attribute by which xarray knows the axes of an array."""


class ZarrExport(ChunkedExporter):
    """Zarr (version 2) .zarr: arrays with named axes in SI, for xarray and dask."""

    suffix: ClassVar[str] = ".zarr"

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write ``data``, coordinates of each axis, and all time stamps."""
        frames = source.pixels
        axes = axes_of(frames)
        names = [axis.name for axis in axes]
        folder = ZarrFolder(target)
        write_frames(
            folder, "data", frames, self._params, progress, attributes={_NAMES: names}
        )
        for axis in axes:
            unit = {"units": axis.unit} if axis.unit else {}
            folder.whole(axis.name, axis.coordinates(), {_NAMES: [axis.name], **unit})
        navigation = list(frames.places.names)
        for name, values in kept_of(frames).items():
            more = ["axis"] if name == "position" else []
            folder.whole(name, values, {_NAMES: navigation + more})
        folder.group("", tree_of(source))
        folder.close()
        return []
