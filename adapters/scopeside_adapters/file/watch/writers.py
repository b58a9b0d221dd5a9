"""Files as cameras write them: a header, then one record for each frame."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import tifffile
from numpy.lib import format as npy

from scopeside.errors import ConfigError

Array = npt.NDArray[Any]

SEQ_PADDING = 16  # bytes behind the time stamp of a frame
_MRC_MODES = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}
_TVIPS_FRAME_HEADER = 64
_EMPAD_FOOTER = 2 * 128


def header(suffix: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """Return the beginning of a file of frames like that.

    Raises
    ------
    ConfigError
        If files with this suffix cannot hold them.
    """
    match suffix:
        case ".mrc" | ".mrcs":
            return _mrc_header(shape, dtype)
        case ".seq":
            return _seq_header(shape, dtype)
        case ".tvips":
            return _tvips_header(shape, dtype)
        case ".npy":
            return _npy_header(shape, dtype)
        case ".raw":
            if (shape, dtype) != ((128, 128), np.dtype("<f4")):
                raise ConfigError(
                    "an EMPAD file has frames of [128, 128] and float32, not "
                    f"{list(shape)} and {dtype}"
                )
            return b""
        case _:
            raise ConfigError(f"no camera is simulated that writes {suffix!r} files")


def record(suffix: str, number: int, frame: Array, time_ns: int) -> bytes:
    """Return what a file gets for one frame."""
    pixels = np.ascontiguousarray(frame).tobytes()
    seconds, micro = divmod(time_ns // 1000, 1_000_000)
    match suffix:
        case ".seq":
            stamp = struct.pack("<iHH", seconds, micro // 1000, micro % 1000)
            return pixels + stamp + bytes(SEQ_PADDING)
        case ".tvips":
            stamp = struct.pack("<3I", number, seconds, micro // 1000)
            return stamp.ljust(_TVIPS_FRAME_HEADER, b"\0") + pixels
        case ".raw":
            return pixels + np.full(_EMPAD_FOOTER, number, "<f4").tobytes()
        case _:
            return pixels


def picture(suffix: str, frame: Array) -> bytes:
    """Return a file that holds one frame."""
    room = io.BytesIO()
    match suffix:
        case ".tif" | ".tiff":
            tifffile.imwrite(room, frame)
        case ".png":
            iio.imwrite(room, frame, plugin="pillow", extension=".png")
        case _:
            whole = header(suffix, (frame.shape[0], frame.shape[1]), frame.dtype)
            room.write(whole + record(suffix, 0, frame, 0))
    return room.getvalue()


def named(path: Path, number: int) -> Path:
    """Return what picture `number` of a folder is called."""
    return path / f"frame_{number:06d}"


def _mrc_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """Return a header that does not know yet how many sections will follow."""
    if dtype.name not in _MRC_MODES:
        raise ConfigError(f"MRC holds {', '.join(_MRC_MODES)}, not {dtype}")
    out = bytearray(1024)
    struct.pack_into("<4i", out, 0, shape[1], shape[0], 0, _MRC_MODES[dtype.name])
    struct.pack_into("<3i", out, 28, shape[1], shape[0], 1)
    out[208:216] = b"MAP \x44\x44\x00\x00"
    return bytes(out)


def _seq_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    _bytes_only(dtype, "SEQ")
    image = shape[0] * shape[1] * dtype.itemsize
    bits = 8 * dtype.itemsize
    out = bytearray(8192)
    struct.pack_into("<I", out, 0, 0xFEED)
    out[4:24] = "Norpix seq".encode("utf-16-le")
    struct.pack_into("<2i", out, 28, 5, 1024)
    described = "simulated".encode("utf-16-le")
    out[36 : 36 + len(described)] = described
    stride = image + 8 + SEQ_PADDING
    struct.pack_into(
        "<9I", out, 548, shape[1], shape[0], bits, bits, image, 100, 0, 0, stride
    )
    return bytes(out)


def _tvips_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    _bytes_only(dtype, "TVIPS")
    words = (256, 2, shape[1], shape[0], 8 * dtype.itemsize, 0, 0, 1, 1, 10, 200, 1)
    return struct.pack("<13I", *words, _TVIPS_FRAME_HEADER).ljust(256, b"\0")


def _npy_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    room = io.BytesIO()
    described = {"descr": dtype.str, "fortran_order": False, "shape": (0, *shape)}
    npy.write_array_header_1_0(room, described)
    return room.getvalue()


def _bytes_only(dtype: np.dtype[Any], name: str) -> None:
    if dtype.name not in ("uint8", "uint16"):
        raise ConfigError(f"{name} holds uint8 and uint16, not {dtype}")
