"""HDF5 data sets that grow, written in SWMR mode (single writer, many readers).

A frame counts when all of its chunks have a place in the file: SWMR keeps the order
in which chunk and index are written, so none is seen before its pixels. A data set
that is made larger before it is filled is no trouble then. Where a chunk holds several
frames, it is taken when the next one is there, or at the end.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from scopeside.errors import MissingExtraError, SourceError, SourceLostError
from scopeside_adapters.file.frames import Array, Facts, pixel_dtype
from scopeside_adapters.file.hdf5 import dataset_of, frame_datasets
from scopeside_adapters.file.watch.growing import Growing, NotYetError


class Hdf5Stack(Growing):
    """A data set (frames, height, width) that becomes longer.

    Raises
    ------
    NotYetError
        If its writer keeps the file locked: it does not write in SWMR mode.
    """

    def __init__(self, path: Path, key: str | None) -> None:
        self._file = _open(path)
        try:
            self._dataset = _choose(self._file, key)
            _, height, width = self._dataset.shape
            facts = Facts(
                frame_shape=(height, width),
                dtype=pixel_dtype(self._dataset.dtype),
                count=0,
                expected=None,
                metadata={"format": "HDF5"},
            )
            super().__init__(path, facts)
        except BaseException:
            self._file.close()
            raise
        self._chunks = 0  # chunks along the first axis that are whole

    def count(self, *, ended: bool = False) -> int:
        """Look how many chunks have been written."""
        try:
            self._dataset.refresh()
            frames = int(self._dataset.shape[0])
            if self._dataset.chunks is None:
                return frames  # a data set in one piece does not grow
            depth = self._dataset.chunks[0]
            while self._chunks * depth < frames and self._written(self._chunks):
                self._chunks += 1
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise SourceLostError(
                f"{self.path.name} cannot be read: {error}"
            ) from error
        if depth > 1 and not ended:
            return max(0, self._chunks - 1) * int(depth)
        return min(frames, self._chunks * int(depth))

    def read_into(self, first: int, out: Array) -> None:
        """Unpack straight into `out`."""
        try:
            self._dataset.read_direct(out, source_sel=slice(first, first + len(out)))
        except (OSError, RuntimeError, ValueError) as error:
            raise SourceLostError(
                f"frames {first} to {first + len(out) - 1} of {self.path.name} cannot "
                f"be unpacked: {error}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _written(self, chunk: int) -> bool:
        """Whether all of a row of chunks has a place in the file."""
        _, height, width = self._dataset.shape
        depth, rows, columns = self._dataset.chunks
        corners = product(range(0, height, rows), range(0, width, columns))
        info = self._dataset.id.get_chunk_info_by_coord
        return all(info((chunk * depth, y, x)).byte_offset for y, x in corners)


def _open(path: Path) -> Any:
    try:
        import h5py  # noqa: PLC0415 - an extra
        import hdf5plugin  # noqa: F401, PLC0415 - an extra that registers itself
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path.name}", str(error.name), "formats"
        ) from error
    try:
        return h5py.File(path, "r", swmr=True)
    except Exception as error:  # h5py raises whatever a half-written file leads to
        if isinstance(error, BlockingIOError):
            raise NotYetError(
                "its writer keeps it locked; let it write in SWMR mode, else the file "
                "is read when it is closed"
            ) from error
        raise NotYetError(f"HDF5 says: {error}") from error


def _choose(file: Any, key: str | None) -> Any:
    if key is not None:
        found = [dataset_of(file, key)]
    else:
        found = [one for one in frame_datasets(file) if one.ndim == 3]
    if len(found) != 1 or found[0].ndim != 3:
        listed = ", ".join(f"{one.name} {one.shape}" for one in found[:8])
        raise SourceError(
            f"it holds {listed or 'no data set (frames, height, width)'}; name one "
            "of three axes with key"
        )
    return found[0]
