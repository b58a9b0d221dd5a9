"""Keeps a batch that killed workers, so that a person can look into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scopeside.batch import Batch
from scopeside.packed import AnyBatch
from scopeside.security.filename import file_name


def keep(folder: Path, acquisition: str, chain: str, batch: AnyBatch) -> str:
    """Write `batch` to a file; return in words where it is, or why it could not be."""
    try:
        return f"kept in {write(folder, acquisition, chain, batch)}"
    except OSError as error:
        return f"could not be kept: {error}"


def write(folder: Path, acquisition: str, chain: str, batch: AnyBatch) -> Path:
    """Write `batch` to an .npz file and return its path.

    It holds ``index`` and ``timestamp_ns`` (n,), and ``pixels`` (n, height, width) or,
    of events and packed frames, ``words`` (m,), ``frame_shape`` and ``dtype``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    which = f"{batch.epoch}-{int(batch.index[0])}"
    path = folder / file_name(acquisition, chain, which, suffix=".npz")
    arrays: dict[str, Any] = {
        "index": batch.index,
        "timestamp_ns": batch.timestamp_ns,
    }
    if isinstance(batch, Batch):
        arrays["pixels"] = batch.pixels
    else:
        arrays["words"] = batch.words
        arrays |= {"frame_shape": batch.frame_shape, "dtype": batch.dtype.str}
    np.savez(path, **arrays)
    return path
