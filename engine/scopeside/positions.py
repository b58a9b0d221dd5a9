"""Lists of probe positions from a file, for scans that are no rows."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from scopeside.errors import ConfigError

MOST_VISITS = 1 << 26
"""More probe positions than any instrument visits in one scan."""
_NPY = b"\x93NUMPY\x01\x00"
MOST_TEXT = 1 << 28
"""Bytes; in a .npy file there may be more of them."""


def read_positions(path: Path, shape: tuple[int, int]) -> bytes:
    """Return the flat positions listed in `path`, as `Scan.visited` holds them.

    The file has two whole numbers for each visit, row and column from 0: an array
    (n, 2) in a ``.npy`` file, or lines of text with a comma or blanks between.

    Raises
    ------
    ConfigError
        If the file cannot be read or lists what is no position of `shape`.
    """
    try:
        return _read(path, path.stat().st_mtime_ns, shape)
    except OSError as error:
        raise ConfigError(f"acquisition.positions: {path}: {error.strerror}") from error


@lru_cache(maxsize=4)
def _read(path: Path, _changed_ns: int, shape: tuple[int, int]) -> bytes:
    where = f"acquisition.positions: {path}"
    try:
        found = _numbers(path)
    except ValueError as error:
        raise ConfigError(f"{where}: no list of numbers: {error}") from error
    if found.ndim != 2 or found.shape[1] != 2 or not 0 < len(found) <= MOST_VISITS:
        raise ConfigError(
            f"{where}: has shape {found.shape}; expected a row and a column for each "
            "visit: (n, 2)"
        )
    whole = np.rint(found)
    if not np.array_equal(whole, found):
        k = int(np.argmax((whole != found).any(axis=1)))
        raise ConfigError(
            f"{where}: visit {k} is {found[k].tolist()}; positions are whole numbers, "
            "rows and columns of [acquisition] scan"
        )
    wrong = (found < 0).any(axis=1) | (found >= shape).any(axis=1)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ConfigError(
            f"{where}: visit {k} is {found[k].tolist()}, outside a scan of "
            f"{shape[0]} rows and {shape[1]} columns"
        )
    flat = whole[:, 0] * shape[1] + whole[:, 1]
    return bytes(flat.astype("<u4").tobytes())


def _numbers(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return _array(path)
    if path.stat().st_size > MOST_TEXT:
        raise ValueError(f"a list has {MOST_TEXT >> 20} MiB of text at most")
    lines = path.read_text("utf-8").replace(",", " ").splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError("it is empty")
    return np.loadtxt(lines, np.float64, ndmin=2)


def _array(path: Path) -> np.ndarray:
    """Return a saved array; a file that is shorter than it says takes no memory."""
    with path.open("rb") as file:
        begin = file.read(len(_NPY))
    if begin != _NPY:  # other versions may have a header of gigabytes
        raise ValueError(f"it begins with {begin!r}, expected {_NPY!r}")
    try:
        with np.errstate(all="ignore"):  # of the product of impossible sides
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            return np.asarray(found, np.float64)
    except OSError:
        raise
    except Exception as error:  # the header is Python source, and fails in its ways
        raise ValueError(f"{type(error).__name__}: {error!s:.80}") from error
