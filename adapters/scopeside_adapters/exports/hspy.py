"""HyperSpy's own file, .hspy: HDF5 in the form that HyperSpy has published.

Written with h5py alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scopeside.export.axes import Axis, axes_of
from scopeside.export.exporter import Progress, Source
from scopeside_adapters.exports.chunked import ChunkedExporter
from scopeside_adapters.exports.facts import tree_of
from scopeside_adapters.exports.hdf5_file import load_h5py, new_file
from scopeside_adapters.exports.hdf5_frames import write_frames
from scopeside_adapters.exports.hdf5_tree import write_tree
from scopeside_adapters.exports.hyperspy_form import FORM, axis_of, metadata_of
from scopeside_adapters.exports.kept import kept_of


class HspyExport(ChunkedExporter):
    """HyperSpy .hspy: calibrated axes, metadata, time stamps; HDF5."""

    suffix: ClassVar[str] = ".hspy"

    def check(self, source: Source) -> list[str]:  # noqa: ARG002 - any run will do
        """See to it that h5py is there."""
        load_h5py("exporting .hspy")
        return []

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write one signal: frames over their navigation axes."""
        frames = source.pixels
        with new_file(target, progress) as (file, told):
            title = source.run.acquisition.id
            group = begin_signal(file, title, axes_of(frames))
            write_frames(group, "data", frames, self._params, told)
            write_tree(group.create_group("metadata"), metadata_of(source, title))
            original = group.create_group("original_metadata").create_group("scopeside")
            write_tree(original, {**tree_of(source), "frame": kept_of(frames)})
        return []


def begin_signal(file: Any, title: str, axes: list[Axis]) -> Any:
    """Make the group of a signal with all but its data and metadata; return it."""
    file.attrs["file_format"] = "HyperSpy"
    file.attrs["file_format_version"] = FORM
    group = file.create_group("Experiments").create_group(title.replace("/", "-"))
    group.attrs["package"] = ""
    group.attrs["package_version"] = ""
    for k, axis in enumerate(axes):
        group.create_group(f"axis-{k}").attrs.update(axis_of(axis))
    group.create_group("attributes").attrs.update({"_lazy": False, "ragged": False})
    group.create_group("learning_results")
    return group


def write_signal(
    target: Path,
    title: str,
    data: np.ndarray[Any, Any],
    *,
    axes: list[Axis],
    metadata: dict[str, Any],
    original: dict[str, Any],
) -> None:
    """Write an array that is in memory as a .hspy file."""
    with new_file(target, lambda _done, _total: None) as (file, _):
        group = begin_signal(file, title, axes)
        group.create_dataset("data", data=data, chunks=data.shape)
        write_tree(group.create_group("metadata"), metadata)
        write_tree(group.create_group("original_metadata"), {"scopeside": original})
