"""Keeps a batch that killed workers, so that a person can look into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scopeside.batch import Batch


def write(folder: Path, acquisition: str, chain: str, batch: Batch) -> Path:
    """Write the frames of `batch` to an .npz file and return its path.

    It holds ``pixels`` (n, height, width), ``index`` and ``timestamp_ns`` (n,).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{acquisition}.{chain}.{batch.epoch}-{int(batch.index[0])}.npz"
    np.savez(
        path, pixels=batch.pixels, index=batch.index, timestamp_ns=batch.timestamp_ns
    )
    return path
