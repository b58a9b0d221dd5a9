"""NumPy's .npz: the frames and what is kept for each in one zip archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from scopeside.export.axes import axes_of
from scopeside.export.exporter import FrameExporter, Progress, Source
from scopeside.params import Params
from scopeside_adapters.exports.facts import as_json, tree_of
from scopeside_adapters.exports.kept import kept_of
from scopeside_adapters.exports.npy import write_npy


class NpzParams(Params):
    """How the archive is stored."""

    compression: Literal["deflate", "none"] = "none"
    """deflate: smaller and slower; none: as numpy.savez."""


class NpzExport(FrameExporter):
    """NumPy .npz: frames, axes, time stamps and facts as arrays of one file."""

    Params: ClassVar[type[NpzParams]] = NpzParams
    suffix: ClassVar[str] = ".npz"

    def __init__(self, params: NpzParams) -> None:
        self._params = params

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write ``data``, then ``axis_NAME``, ``index`` … and ``meta``, JSON text."""
        frames = source.pixels
        packed = self._params.compression == "deflate"
        method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with zipfile.ZipFile(target, "w", method, compresslevel=1) as archive:
            with archive.open("data.npy", "w", force_zip64=True) as member:
                write_npy(member, frames, progress)
            for name, values in kept_of(frames).items():
                _put(archive, name, values)
            axes = axes_of(frames)
            for axis in axes:
                _put(archive, f"axis_{axis.name}", axis.coordinates())
            units = {axis.name: axis.unit for axis in axes}
            told = as_json({**tree_of(source), "axes": units})
            _put(archive, "meta", np.array(told))
        return []


def _put(archive: zipfile.ZipFile, name: str, values: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
