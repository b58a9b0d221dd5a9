"""NeXus: HDF5 with an NXentry, and an NXdata that can be plotted by default.

After the manual of NeXus, "Rules for structuring information in NeXus files" and the
base classes NXdata, NXinstrument, NXdetector, NXsource. No application definition is
claimed: NXem asks for what a detector does not know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scopeside.export.axes import Axis, axes_of
from scopeside.export.exporter import Progress, Source
from scopeside_adapters.exports.chunked import ChunkedExporter
from scopeside_adapters.exports.facts import as_json, number, started, tree_of
from scopeside_adapters.exports.hdf5_file import load_h5py, new_file
from scopeside_adapters.exports.hdf5_frames import write_frames
from scopeside_adapters.exports.hdf5_tree import text_of
from scopeside_adapters.exports.kept import kept_of

_QUANTITIES = (
    ("detector", "count_time", ("exposure_s", "frame_time_s"), "s"),
    ("detector", "distance", ("camera_length_m",), "m"),
    ("source", "energy", ("beam_energy_eV",), "eV"),
    ("optics", "semi_convergence_angle", ("semi_angle_rad",), "rad"),
    ("optics", "scan_rotation", ("scan_rotation_rad", "rotation_rad"), "rad"),
    ("optics", "magnification", ("magnification",), ""),
)
"""Group of the instrument, name there, calibrations, unit."""
_CLASSES = {"detector": "NXdetector", "source": "NXsource", "optics": "NXcollection"}


class NexusExport(ChunkedExporter):
    """NeXus .nxs: a default plottable signal with axes in SI; HDF5."""

    suffix: ClassVar[str] = ".nxs"

    def check(self, source: Source) -> list[str]:  # noqa: ARG002 - any run will do
        """See to it that h5py is there."""
        load_h5py("exporting NeXus")
        return []

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write ``/entry/data/data`` with its axes, and what is known beside it."""
        with new_file(target, progress) as (file, told):
            file.attrs.update(
                {
                    "default": "entry",
                    "file_name": target.name,
                    "file_time": datetime.now(UTC).isoformat(),
                    "creator": "scopeside",
                }
            )
            entry = _group(file, "entry", "NXentry")
            entry.attrs["default"] = "data"
            self._write_data(entry, source, told)
            _write_times(entry, source)
            _write_instrument(entry, source)
            kept = _group(entry, "frames", "NXcollection")
            for name, values in kept_of(source.pixels).items():
                kept[name] = values
            kept["timestamp_ns"].attrs["units"] = "ns"
            about = _group(entry, "scopeside", "NXcollection")
            about["facts"] = as_json(tree_of(source))
        return []

    def _write_data(self, entry: Any, source: Source, progress: Progress) -> None:
        frames = source.pixels
        axes = axes_of(frames)
        data = _group(entry, "data", "NXdata")
        data.attrs["signal"] = "data"
        data.attrs["axes"] = [axis.name for axis in axes]
        for k, axis in enumerate(axes):
            data.attrs[f"{axis.name}_indices"] = k
            _write_axis(data, axis)
        pixels = write_frames(data, "data", frames, self._params, progress)
        pixels.attrs["interpretation"] = "image"
        pixels.attrs["long_name"] = "counts"
        data.attrs["interpretation"] = "image"
        data.attrs["frames_absent"] = int((~frames.present).sum())


def _group(above: Any, name: str, kind: str) -> Any:
    group = above.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _write_axis(data: Any, axis: Axis) -> None:
    data[axis.name] = axis.coordinates()
    data[axis.name].attrs["long_name"] = axis.name
    if axis.unit:
        data[axis.name].attrs["units"] = axis.unit


def _write_times(entry: Any, source: Source) -> None:
    entry["title"] = source.run.acquisition.id
    entry["entry_identifier"] = source.run.acquisition.id
    began = started(source)
    if began is not None:
        entry["start_time"] = began.isoformat()
    times = source.pixels.times_ns
    if len(times) and times.max() > 0:
        ended = datetime.fromtimestamp(int(times.max()) / 1e9, UTC)
        entry["end_time"] = ended.isoformat()


def _write_instrument(entry: Any, source: Source) -> None:
    acquisition = source.run.acquisition
    instrument = _group(entry, "instrument", "NXinstrument")
    groups = {name: _group(instrument, name, kind) for name, kind in _CLASSES.items()}
    groups["source"]["probe"] = "electron"
    if acquisition.detector:
        groups["detector"]["description"] = text_of(acquisition.detector)
    for group, name, keys, unit in _QUANTITIES:
        value = number(acquisition.calibration, *keys)
        if value is None:
            continue
        groups[group][name] = np.float64(value)
        if unit:
            groups[group][name].attrs["units"] = unit
