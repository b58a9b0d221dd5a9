"""Kernels for GPUs: CUDA sources, and what gives them their arguments."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt

SOURCES = ("labels", "patterns")
TAKEN = ("u1", "u2", "u4", "f4")
"""Pixels that there are kernels for."""


@lru_cache
def source_of(name: str) -> str:
    """Return one of `SOURCES`, whole: no compiler has to look for other files."""
    folder = resources.files(__package__)
    parts = [folder / "pixels.cuh", folder / f"{name}.cu"]
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def takes(dtype: npt.DTypeLike) -> bool:
    """Return whether there are kernels for such pixels."""
    return np.dtype(dtype).newbyteorder("=").str[1:] in TAKEN
