"""Arrays as NumPy saves them: .npy mapped into memory, .npz read as a stream."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import (
    MEMORY_LIMIT,
    Array,
    ArrayFrames,
    Facts,
    FrameLostError,
    Frames,
    Layout,
    pixel_dtype,
    shortfall,
)
from scopeside_adapters.file.strided import Strided, record_of

_LONGEST_HEADER = 1 << 16
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def open_npy(path: Path) -> Frames:
    """Map a .npy file into memory; of one that ends early, the frames it has."""
    with path.open("rb") as file:
        shape, fortran, dtype = _read_header(file)
        offset = file.tell()
    layout = Layout.of(shape)
    delivered = pixel_dtype(dtype)
    there = path.stat().st_size - offset
    if fortran and len(shape) > 2:
        return _open_fortran(path, offset, shape, dtype, there)
    count = min(layout.count, there // (int(np.prod(shape[-2:])) * dtype.itemsize))
    facts = _facts(layout, delivered, count, shortfall(path, count, layout.count))
    whole = (count, *layout.frame_shape) if len(shape) > 2 else shape
    array = np.memmap(path, dtype, "r", offset, whole, "F" if fortran else "C")
    return ArrayFrames(array.reshape(-1, *layout.frame_shape), facts)


def npy_layout(path: Path) -> Strided:
    """Return how a .npy file that grows is laid out; its header may lag behind."""
    with path.open("rb") as file:
        shape, fortran, dtype = _read_header(file)
        offset = file.tell()
    if fortran:
        raise SourceError("it is in Fortran order, so no frame is whole before its end")
    if len(shape) < 3:
        raise SourceError(
            f"an array of shape {shape} cannot grow by frames: expected "
            "(frames, height, width)"
        )
    *leading, height, width = shape
    pixel_dtype(dtype)
    if min(height, width) < 1 or len(shape) > 4:
        raise SourceError(f"an array of shape {shape} is no series of frames")
    return Strided(
        format="NumPy",
        offset=offset,
        record=record_of(dtype, (height, width)),
        declared=int(np.prod(leading)) or None,
        scan_shape=(leading[0], leading[1]) if len(leading) == 2 else None,
    )


def open_npz(path: Path, key: str | None) -> Frames:
    """Read the array `key`, or the only one, of a .npz file as a stream."""
    with zipfile.ZipFile(path) as archive:
        headers = {
            name.removesuffix(".npy"): _member_header(archive, name)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    name = _choose(headers, key)
    shape, fortran, dtype = headers[name]
    layout = Layout.of(shape)
    facts = _facts(layout, pixel_dtype(dtype), layout.count, "")
    if not fortran:
        return NpzFrames(path, f"{name}.npy", dtype, facts)
    size = int(np.prod(shape)) * dtype.itemsize
    if size > MEMORY_LIMIT:
        raise SourceError(
            f"{name} is in Fortran order and has {size} bytes; save it in C order "
            "or as .npy to read it frame by frame"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return ArrayFrames(arrays[name].reshape(-1, *layout.frame_shape), facts)


class FortranScan(Frames):
    """A scan (rows, columns, height, width) in Fortran order, frame by frame."""

    def __init__(self, array: Array, facts: Facts) -> None:
        super().__init__(facts)
        self._array = array

    def read_into(self, first: int, out: Array) -> None:
        """Gather each frame from all over the file: slow, but never all at once."""
        columns = self._array.shape[1]
        for i in range(len(out)):
            frame = self._array[divmod(first + i, columns)]
            np.copyto(out[i], frame, casting="safe")


class NpzFrames(Frames):
    """Frames of one member of a .npz file, unpacked as they are asked for."""

    def __init__(
        self, path: Path, member: str, dtype: np.dtype[Any], facts: Facts
    ) -> None:
        super().__init__(facts)
        self._archive = zipfile.ZipFile(path)
        self._member = member
        self._swapped = dtype.str.startswith(">")
        self._stream: IO[bytes] | None = None
        self._next = 0

    def read_into(self, first: int, out: Array) -> None:
        """Unpack into `out`; going back starts over."""
        stream = self._at(first)
        try:
            got = _fill(stream, out)
        except Exception as error:  # each codec of a zip file has errors of its own
            raise FrameLostError(
                f"frame {first} of {self._member} cannot be unpacked: {error}",
                frame=first,
            ) from error
        if self._swapped:
            out.byteswap(inplace=True)
        self._next = first + len(out)
        if got < out.nbytes:
            lost = first + got // out[0].nbytes
            message = f"{self._member} ends after {lost} of {self.facts.count} frames"
            raise FrameLostError(message, frame=lost)

    def close(self) -> None:
        """Close the archive."""
        if self._stream is not None:
            self._stream.close()
        self._archive.close()

    def _at(self, first: int) -> IO[bytes]:
        if self._stream is None or first < self._next:
            if self._stream is not None:
                self._stream.close()
            self._stream = self._archive.open(self._member)
            _read_header(self._stream)
            self._next = 0
        height, width = self.facts.frame_shape
        frame_bytes = height * width * self.facts.dtype.itemsize
        self._stream.seek((first - self._next) * frame_bytes, 1)
        return self._stream


def _open_fortran(
    path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], there: int
) -> Frames:
    if there < int(np.prod(shape)) * dtype.itemsize:
        raise SourceError("it is in Fortran order and ends early: no frame is whole")
    layout = Layout.of(shape)
    facts = _facts(layout, pixel_dtype(dtype), layout.count, "")
    array = np.memmap(path, dtype, "r", offset, shape, "F")
    # Two axes in Fortran order cannot be joined without copying the whole file.
    return (FortranScan if len(shape) == 4 else ArrayFrames)(array, facts)


def _facts(layout: Layout, dtype: np.dtype[Any], count: int, missing: str) -> Facts:
    return Facts(
        frame_shape=layout.frame_shape,
        dtype=dtype,
        count=count,
        expected=layout.count,
        missing=missing,
        scan_shape=layout.scan_shape,
        metadata={"format": "NumPy"},
    )


def _read_header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        # NumPy would read whatever size it says before it looks at it.
        raw = file.read(4)
        size = int.from_bytes(raw, "little")
        if size > _LONGEST_HEADER:
            raise SourceError(
                f"its header has {size} bytes; at most {_LONGEST_HEADER} are read"
            )
        return npy.read_array_header_2_0(io.BytesIO(raw + file.read(size)))
    raise SourceError(f"version {version} of .npy holds records, not frames")


def _member_header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(name) as member:
        return _read_header(member)


def _choose(headers: dict[str, Header], key: str | None) -> str:
    listed = ", ".join(f"{name} {shape}" for name, (shape, _, _) in headers.items())
    if key is not None and key not in headers:
        raise SourceError(f"it has no array {key!r}; it holds {listed}")
    if key is None and len(headers) != 1:
        raise SourceError(
            f"it holds {listed or 'no arrays'}; choose one with key"
            if headers
            else "it holds no arrays"
        )
    return next(iter(headers)) if key is None else key


def _fill(stream: IO[bytes], out: Array) -> int:
    """Read until `out` is full or the stream ends; return the bytes read."""
    room = out.reshape(-1).view(np.uint8).data
    got = 0
    while got < len(room):
        data = stream.read(len(room) - got)
        if not data:
            break
        room[got : got + len(data)] = data
        got += len(data)
    return got
