"""Lists of probe positions from a file, for scans that are no rows."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from scopeside.errors import ConfigError

MOST_VISITS = 1 << 26
"""More probe positions than any instrument visits in one scan."""


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
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    text = path.read_text("utf-8").replace(",", " ").splitlines()
    return np.loadtxt(text, np.float64, ndmin=2)
