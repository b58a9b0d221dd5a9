"""Writes the last value of every result to a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.publication import to_header
from scopeside.result import Result
from scopeside.security.filename import file_name


def write(
    folder: Path, chain: str, processor: str, result: Result, beside: dict[str, Any]
) -> Path:
    """Write ``<chain>.<processor>.<name>.npz`` and return its path.

    It holds ``data``, ``mask`` where not all of it stands on frames, and ``meta``,
    the header as JSON. The file appears whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(chain, processor, result.name, suffix=".npz")
    header, _ = to_header(result)
    arrays: dict[str, Any] = {"meta": np.array(json.dumps({**header, **beside}))}
    if isinstance(result.data, np.ndarray):
        arrays["data"] = result.data
    else:
        arrays["data"] = np.array(json.dumps(header["value"]))
    if result.mask is not None:
        arrays["mask"] = result.mask
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
