"""HDF5: DECTRIS master files, and any data set of (…, height, width).

A DECTRIS master file links the frames as ``entry/data/data_000001`` and so on,
counted from 1, and lies beside ``X.h5`` with the scan where the file is
``X_master.h5`` of an ARINA. Nothing is masked, corrected or narrowed.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import MissingExtraError, SourceError
from scopeside_adapters.file.calibration import duration
from scopeside_adapters.file.frames import (
    Array,
    Facts,
    FrameLostError,
    Frames,
    Layout,
    pixel_dtype,
)
from scopeside_adapters.file.rosetta import open_rosetta

_CACHE = 64 << 20  # of unpacked chunks, bytes: a chunk may hold many frames
_DETECTOR = "entry/instrument/detector"


def open_hdf5(path: Path, key: str | None) -> Frames:
    """Open the frames of a master file, of the data set `key`, or of the only one."""
    file = _open(path)
    try:
        if key is not None:
            return Hdf5Frames(file, [dataset_of(file, key)], "HDF5")
        if "entry/data/data_000001" in _names(file):
            return _open_master(path, file)
        found = frame_datasets(file)
        if len(found) == 1 and "Experiments" not in file:
            return Hdf5Frames(file, found, "HDF5")
        if len(found) > 1 and "Experiments" not in file:
            listed = ", ".join(f"{one.name} {one.shape}" for one in found[:8])
            raise SourceError(f"it holds {listed}; choose one with key")
    except BaseException:
        file.close()
        raise
    file.close()
    return open_rosetta(path, None)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of frames that lie one after another in one data set."""

    dataset: Any
    row: tuple[int, ...]
    length: int


class Hdf5Frames(Frames):
    """Frames read from one data set after another, a few chunks at a time."""

    def __init__(self, file: Any, datasets: list[Any], name: str) -> None:
        layout = Layout.of(datasets[0].shape)
        self._file = file
        self._pieces = [piece for one in datasets for piece in _pieces(one)]
        self._starts = [0, *np.cumsum([one.length for one in self._pieces]).tolist()]
        super().__init__(
            Facts(
                frame_shape=layout.frame_shape,
                dtype=pixel_dtype(datasets[0].dtype),
                count=self._starts[-1],
                expected=self._starts[-1],
                scan_shape=layout.scan_shape,
                metadata={"format": name},
            )
        )

    def read_into(self, first: int, out: Array) -> None:
        """Unpack straight into `out`."""
        done = 0
        while done < len(out):
            at = bisect_right(self._starts, first + done) - 1
            piece, skip = self._pieces[at], first + done - self._starts[at]
            n = min(len(out) - done, piece.length - skip)
            try:
                _read(piece, skip, out[done : done + n])
            except (OSError, RuntimeError, ValueError) as error:
                raise FrameLostError(
                    f"frames {first + done} to {first + done + n - 1} cannot be "
                    f"unpacked: {error}",
                    frame=first + done,
                ) from error
            done += n

    def close(self) -> None:
        """Close the file."""
        self._pieces = []
        self._file.close()


def _open(path: Path) -> Any:
    try:
        import h5py  # noqa: PLC0415 - an extra
        import hdf5plugin  # noqa: F401, PLC0415 - an extra that registers itself
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path.name}", str(error.name), "formats"
        ) from error
    return h5py.File(path, "r", rdcc_nbytes=_CACHE)


def _open_master(path: Path, file: Any) -> Frames:
    links = sorted(name for name in file["entry/data"] if name.startswith("data_"))
    datasets, missing = [], ""
    for name in links:
        try:
            datasets.append(file["entry/data"][name])
        except (KeyError, OSError) as error:
            missing = f"entry/data/{name} of {path.name} cannot be opened: {error}"
            break
    if not datasets:
        raise SourceError(missing)
    frames = Hdf5Frames(file, datasets, "DECTRIS HDF5")
    said = _said(file, path, frames.facts.count)
    frames.facts = replace(
        frames.facts,
        missing=missing or said.missing,
        expected=max(said.expected, frames.facts.count),
        scan_shape=said.scan_shape,
        calibration=said.calibration,
    )
    return frames


@dataclass(frozen=True, slots=True)
class _Said:
    expected: int
    missing: str
    scan_shape: tuple[int, int] | None
    calibration: dict[str, float]


def _said(file: Any, path: Path, count: int) -> _Said:
    """Return what the master file and the file of the scan say."""
    images = int(_value(file, f"{_DETECTOR}/detectorSpecific/nimages") or 0)
    triggers = int(_value(file, f"{_DETECTOR}/detectorSpecific/ntrigger") or 0)
    expected = images * triggers
    scan = _scan_beside(path)
    if scan is None and images > 1 and triggers > 1:
        scan = triggers, images
    if scan is not None and scan[0] * scan[1] != max(expected, count):
        scan = None
    calibration = {
        "beam_energy_eV": _value(file, f"{_DETECTOR}/detectorSpecific/photon_energy"),
        "frame_time_s": duration(_value(file, f"{_DETECTOR}/frame_time") or 0.0, "s"),
    }
    return _Said(
        expected,
        f"{path.name} ends after {count} of {expected} frames"
        if count < expected
        else "",
        scan,
        {name: value for name, value in calibration.items() if value},
    )


def _scan_beside(path: Path) -> tuple[int, int] | None:
    """Return (rows, columns) from the microscope's side of an ARINA acquisition."""
    import h5py  # noqa: PLC0415 - an extra

    beside = path.with_name(path.name.replace("_master", ""))
    if beside == path or not beside.exists():
        return None
    with h5py.File(beside, "r") as file:
        if "STEM Metadata" not in file:
            return None
        said = file["STEM Metadata"].attrs
        rows, columns = said.get("NumPixelsY"), said.get("NumPixelsX")
    return None if rows is None or columns is None else (int(rows), int(columns))


def _value(file: Any, name: str) -> float | None:
    found = file.get(name)
    return None if found is None else float(found[()])


def _names(file: Any) -> set[str]:
    """Return the links of entry/data, those included whose file is not there."""
    group = file.get("entry/data")
    return {f"entry/data/{name}" for name in group} if hasattr(group, "keys") else set()


def dataset_of(file: Any, key: str) -> Any:
    """Return the data set `key`, or say which there are."""
    found = file.get(key)
    if found is None or not hasattr(found, "shape"):
        listed = ", ".join(
            f"{one.name} {one.shape}" for one in frame_datasets(file)[:8]
        )
        raise SourceError(f"it has no data set {key!r}; it holds {listed or 'none'}")
    return found


def frame_datasets(file: Any) -> list[Any]:
    """Return all data sets that could be a series of frames."""
    found: list[Any] = []

    def look(_: str, item: Any) -> None:
        if getattr(item, "ndim", 0) in (3, 4) and item.dtype.kind in "buif":
            found.append(item)

    file.visititems(look)
    return found


def _pieces(dataset: Any) -> list[_Piece]:
    *leading, _, _ = dataset.shape
    if len(leading) == 2:
        return [_Piece(dataset, (row,), leading[1]) for row in range(leading[0])]
    return [_Piece(dataset, (), leading[0] if leading else 1)]


def _read(piece: _Piece, skip: int, out: Array) -> None:
    if piece.dataset.ndim == 2:
        np.copyto(out[0], piece.dataset[()], casting="safe")
        return
    where = (*piece.row, slice(skip, skip + len(out)))
    if piece.dataset.dtype.kind == "b":  # HDF5 has no bool: it is an enumeration
        np.copyto(out, piece.dataset[where])
    else:
        piece.dataset.read_direct(out, source_sel=where)
