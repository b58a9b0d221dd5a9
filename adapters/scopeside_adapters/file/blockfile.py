"""NanoMEGAS ASTAR block files (.blo), mapped into memory.

A header of 240 bytes and a note, an overview image, then at `data_offset_2` for
each probe position 6 bytes (AA 55, frame number) and a square of bytes. The
layout is the one that RosettaSciIO documents in its `blockfile` plug-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.calibration import length
from scopeside_adapters.file.frames import (
    ArrayFrames,
    Facts,
    Frames,
    map_records,
    shortfall,
)

_HEADER = np.dtype(
    [
        ("id", "S6"),
        ("magic", "<u2"),
        ("data_offset_1", "<u4"),
        ("data_offset_2", "<u4"),
        ("flags", "<u4"),
        ("pattern_size", "<u2"),
        ("pattern_rotation", "<u2"),
        ("columns", "<u2"),
        ("rows", "<u2"),
        ("scan_rotation", "<u2"),
        ("step_x_nm", "<f8"),
        ("step_y_nm", "<f8"),
        ("beam_energy_eV", "<u4"),
    ]
)


def open_blockfile(path: Path) -> Frames:
    """Map the patterns of a .blo file; the scan is (rows, columns)."""
    with path.open("rb") as file:
        raw = file.read(_HEADER.itemsize)
    if len(raw) < _HEADER.itemsize or not raw.startswith(b"IMGBLO"):
        raise SourceError(f"it begins with {raw[:6]!r}, expected b'IMGBLO'")
    header = np.frombuffer(raw, _HEADER)[0]
    size, offset = int(header["pattern_size"]), int(header["data_offset_2"])
    scan = int(header["rows"]), int(header["columns"])
    expected = scan[0] * scan[1]
    if expected < 1 or size < 1:
        raise SourceError(f"its header gives a scan of {scan} and {size} pixels")
    record = np.dtype([("head", "V6"), ("pixels", "u1", (size, size))])
    there = path.stat().st_size - offset
    count = max(0, min(expected, there // record.itemsize))
    facts = Facts(
        frame_shape=(size, size),
        dtype=np.dtype(np.uint8),
        count=count,
        expected=expected,
        missing=shortfall(path, count, expected),
        scan_shape=scan,
        calibration=_calibration(header),
        metadata={"format": "NanoMEGAS block file"},
    )
    return ArrayFrames(map_records(path, offset, record, count)["pixels"], facts)


def _calibration(header: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    step = length(float(header["step_x_nm"]), "nm")
    if step is not None and header["step_x_nm"] == header["step_y_nm"]:
        found["scan_step_m"] = step
    if header["beam_energy_eV"] > 0:
        found["beam_energy_eV"] = float(header["beam_energy_eV"])
    return found
