"""A folder in the form of Zarr, version 2: groups, attributes, arrays in chunks.

After "Zarr storage specification version 2". That version is read by the libraries
zarr 2 and 3, by xarray, dask and RosettaSciIO; it is JSON and files of bytes, so that
no library is needed to write it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.batch import Array
from scopeside_adapters.exports.chunked import LEVEL, shuffled


class ZarrArray:
    """An array whose chunks are written one by one, each once."""

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        *,
        compressed: bool,
    ) -> None:
        self._folder = folder
        self._chunks = chunks
        self._dtype = dtype
        self._compressed = compressed
        self._shuffled = compressed and dtype.itemsize > 1
        folder.mkdir()
        shuffle = [{"id": "shuffle", "elementsize": dtype.itemsize}]
        self.described = {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": dtype.str,
            "compressor": {"id": "zlib", "level": LEVEL} if compressed else None,
            "filters": shuffle if self._shuffled else None,
            # Every chunk is written; xarray takes what stands here for "no value".
            "fill_value": None,
            "order": "C",
            "dimension_separator": "/",
        }

    def write(self, chunk: tuple[int, ...], values: Array) -> None:
        """Write the chunk with these numbers; at an edge `values` may be smaller."""
        if values.shape != self._chunks:
            whole = np.zeros(self._chunks, self._dtype)
            whole[tuple(slice(0, n) for n in values.shape)] = values
            values = whole
        values = np.ascontiguousarray(values, self._dtype)
        raw = (shuffled(values) if self._shuffled else values).data.cast("B")
        data = zlib.compress(raw, LEVEL) if self._compressed else raw
        path = self._folder.joinpath(*(str(k) for k in chunk))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class ZarrFolder:
    """Groups and arrays below one folder; `close` writes what opens them at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._described: dict[str, Any] = {}
        self.group("")

    def group(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Make a group and those above it; with attributes, if there are any."""
        (self._root / name).mkdir(parents=True, exist_ok=True)
        for above in _above(name):
            self._write(above, ".zgroup", {"zarr_format": 2})
        if attributes:
            self._write(name, ".zattrs", attributes)

    def tree(self, name: str, tree: Mapping[str, Any]) -> None:
        """Write mappings that hold arrays as groups, what else there is as attributes.

        A name out of a recording never becomes one of a file: attributes are JSON.
        """
        self.group(
            name, {str(key): v for key, v in tree.items() if not _holds_arrays(v)}
        )
        for key, value in tree.items():
            if isinstance(value, np.ndarray):
                self.whole(f"{name}/{key}", value)
            elif _holds_arrays(value):
                self.tree(f"{name}/{key}", value)

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        attributes: Mapping[str, Any] | None = None,
        *,
        compressed: bool = True,
    ) -> ZarrArray:
        """Begin an array."""
        array = ZarrArray(
            self._root / name, shape, dtype, chunks, compressed=compressed
        )
        self._write(name, ".zarray", array.described)
        if attributes:
            self._write(name, ".zattrs", attributes)
        return array

    def whole(
        self, name: str, values: Array, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Write an array that is in memory, as one chunk."""
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        chunks = tuple(max(1, n) for n in values.shape)
        array = self.array(name, values.shape, little.dtype, chunks, attributes)
        if values.size:
            array.write((0,) * max(1, values.ndim), little)

    def close(self) -> None:
        """Write all descriptions into one file beside the others."""
        together = {"zarr_consolidated_format": 1, "metadata": self._described}
        _put(self._root / ".zmetadata", together)

    def _write(self, name: str, what: str, value: Mapping[str, Any]) -> None:
        key = f"{name}/{what}" if name else what
        self._described[key] = value
        _put(self._root / key, value)


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_arrays(one) for one in value.values())
    return isinstance(value, np.ndarray)


def _above(name: str) -> Iterator[str]:
    """Yield the root, the groups below it, and `name`."""
    yield ""
    parts = name.split("/") if name else []
    for k in range(len(parts)):
        yield "/".join(parts[: k + 1])


def _put(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")
