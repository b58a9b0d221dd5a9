"""MRC stacks, mapped into memory.

1024 bytes of header, `nsymbt` bytes of extended header, then sections of
(ny, nx), x fastest. int32 words: nx, ny, nz, mode (0–15), mx, my, mz (28),
cell in Å (40, three float32), nsymbt (92), ``IMOD`` stamp and flags (152, 156),
machine stamp (212). See MRC2014, doi:10.1016/j.jsb.2015.04.002; the IMOD fields
are described in bio3d.colorado.edu/imod/doc/mrc_format.txt.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.calibration import length
from scopeside_adapters.file.frames import (
    ArrayFrames,
    Frames,
    map_records,
    shortfall,
)
from scopeside_adapters.file.strided import Strided, begin, record_of

HEADER = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
_IMOD = 1146047817
_SIGNED_BYTES = 1


def open_mrc(path: Path) -> Frames:
    """Map the sections of an MRC file, in the order of the file."""
    layout = mrc_layout(begin(path, HEADER))
    if layout.declared is None:
        height, width = layout.frame_shape
        raise SourceError(f"its header gives no sections of {height} × {width} pixels")
    count = min(layout.declared, layout.whole(path.stat().st_size))
    missing = shortfall(path, count, layout.declared)
    records = map_records(path, layout.offset, layout.record, count)
    facts = layout.facts(count, layout.declared, missing)
    return ArrayFrames(records["pixels"], facts)


def mrc_layout(header: bytes) -> Strided:
    """Return how a file with this header is laid out.

    A file that is being written may not give the number of its sections yet.
    """
    if len(header) < HEADER:
        raise SourceError(f"its header has {len(header)} of {HEADER} bytes")
    order = ">" if header[212:214] == b"\x11\x11" else "<"
    nx, ny, nz = struct.unpack_from(f"{order}3i", header)
    (extended,) = struct.unpack_from(f"{order}i", header, 92)
    if min(nx, ny) < 1 or extended < 0:
        raise SourceError(
            f"its header gives {nz} sections of {ny} × {nx} pixels after "
            f"{extended} bytes"
        )
    return Strided(
        format="MRC",
        offset=HEADER + extended,
        record=record_of(_dtype(header, order), (ny, nx)),
        declared=nz if nz > 0 else None,
        calibration=_calibration(header, order),
    )


def _dtype(header: bytes, order: str) -> np.dtype[Any]:
    (mode,) = struct.unpack_from(f"{order}i", header, 12)
    if mode not in _MODES:
        raise SourceError(
            f"MRC mode {mode} is not supported; modes {sorted(_MODES)} are"
        )
    stamp, flags = struct.unpack_from(f"{order}2i", header, 152)
    if mode == 0 and stamp == _IMOD and not flags & _SIGNED_BYTES:
        return np.dtype(np.uint8)  # programs of the IMOD family say it here alone
    return np.dtype(_MODES[mode]).newbyteorder("<" if order == "<" else ">")


def _calibration(header: bytes, order: str) -> dict[str, float]:
    mx, my, _ = struct.unpack_from(f"{order}3i", header, 28)
    cell_x, cell_y = struct.unpack_from(f"{order}2f", header, 40)
    if mx < 1 or my < 1 or not np.isclose(cell_x / mx, cell_y / my, rtol=1e-4):
        return {}
    size = length(cell_x / mx, "Å")
    return {} if size is None else {"pixel_size_m": size}
