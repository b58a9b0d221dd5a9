"""HyperSpy's Zarr file, .zspy: the form of .hspy in a Zarr folder, version 2.

RosettaSciIO asks for the library zarr below 3, and so for version 2 of the form.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from scopeside.export.axes import axes_of
from scopeside.export.exporter import Progress, Source
from scopeside_adapters.exports.chunked import ChunkedExporter
from scopeside_adapters.exports.facts import tree_of
from scopeside_adapters.exports.hyperspy_form import FORM, axis_of, metadata_of
from scopeside_adapters.exports.kept import kept_of
from scopeside_adapters.exports.zarr_folder import ZarrFolder
from scopeside_adapters.exports.zarr_frames import write_frames


class ZspyExport(ChunkedExporter):
    """HyperSpy .zspy: calibrated axes, metadata, time stamps; a Zarr folder."""

    suffix: ClassVar[str] = ".zspy"

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write one signal: frames over their navigation axes."""
        frames = source.pixels
        title = source.run.acquisition.id
        folder = ZarrFolder(target)
        folder.group("", {"file_format": "ZSpy", "file_format_version": FORM})
        signal = f"Experiments/{title}"
        folder.group(signal, {"package": "", "package_version": ""})
        for k, axis in enumerate(axes_of(frames)):
            folder.group(f"{signal}/axis-{k}", axis_of(axis))
        folder.group(f"{signal}/attributes", {"_lazy": False, "ragged": False})
        folder.group(f"{signal}/learning_results")
        write_frames(folder, f"{signal}/data", frames, self._params, progress)
        folder.tree(f"{signal}/metadata", metadata_of(source, title))
        folder.group(f"{signal}/original_metadata")
        told = {**tree_of(source), "frame": kept_of(frames)}
        folder.tree(f"{signal}/original_metadata/scopeside", told)
        folder.close()
        return []
