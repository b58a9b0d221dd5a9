"""Unpacks the pixels of a frame into a slot. No codec reads or writes out of bounds.

Plain pixels are copied once. `imagecodecs` writes straight into the slot (zlib, lz4,
lz4hdf5, blosc, jpeg); `dectris-compression` (bslz4) gives bytes, which are copied.
What a codec does not check itself is checked before it is called: c-blosc believes
its header and would read past the end of a cut chunk.

Two dialects are in use for lz4 and bslz4: bare blocks, as areaDetector sends them,
and the chunk of an HDF5 file, which has 12 bytes before them (size of the pixels and
of a block, big endian). They cannot be mistaken: bare blocks cannot begin with the
size of a frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import MissingExtraError, ProtocolError
from scopeside_adapters.epics.protocol import Frame

Bytes = npt.NDArray[np.uint8]

_CHUNK = struct.Struct(">QI")  # of HDF5: bytes of pixels, bytes of a block
_BLOSC = struct.Struct("<4B3I")  # version, of the codec, flags, item, sizes
_BSLZ4_BLOCK = 8192
_LARGEST_BLOCK = 1 << 30


def decode_into(frame: Frame, out: npt.NDArray[Any]) -> None:
    """Fill `out` (height, width), contiguous, of the frame's dtype.

    Raises
    ------
    ProtocolError
        If the bytes are not what `frame.codec` makes of so many pixels. `out` may
        be partly written.
    MissingExtraError
        If the library for the codec is not installed.
    """
    room = out.reshape(-1).view(np.uint8)
    if not frame.codec:
        np.copyto(room, frame.payload)
        return
    try:
        n = _DECODERS[frame.codec](frame, out, room)
    except (ProtocolError, MissingExtraError):
        raise
    except Exception as error:
        raise _damaged(frame, str(error)) from error
    if n != frame.size:
        raise _damaged(frame, f"it holds {n} bytes of pixels instead of {frame.size}")


def _damaged(frame: Frame, reason: str) -> ProtocolError:
    return ProtocolError(
        f"the {frame.codec} data of a frame cannot be unpacked: {reason}",
        cause="bad_data",
    )


def _zlib(frame: Frame, _: npt.NDArray[Any], room: Bytes) -> int:
    return len(_imagecodecs().zlib_decode(frame.payload, out=room))


def _lz4(frame: Frame, _: npt.NDArray[Any], room: Bytes) -> int:
    if _is_chunk(frame):
        return _lz4hdf5(frame, _, room)
    return len(_imagecodecs().lz4_decode(frame.payload, header=False, out=room))


def _lz4hdf5(frame: Frame, _: npt.NDArray[Any], room: Bytes) -> int:
    if not _is_chunk(frame):
        raise _damaged(frame, f"its header does not say {frame.size} bytes")
    return len(_imagecodecs().lz4h5_decode(frame.payload, out=room))


def _blosc(frame: Frame, _: npt.NDArray[Any], room: Bytes) -> int:
    packed = frame.payload
    if len(packed) < _BLOSC.size:
        raise _damaged(frame, f"it has {len(packed)} bytes")
    version, _codec, flags, item, size, block, packed_size = _BLOSC.unpack_from(
        packed.data
    )
    if version not in (1, 2) or item == 0 or size != frame.size:
        raise _damaged(frame, f"its header does not say {frame.size} bytes")
    if not 0 < block <= size or packed_size > len(packed):
        raise _damaged(frame, f"its header does not fit {len(packed)} bytes")
    stored = flags & 2
    if stored and packed_size != size + _BLOSC.size:
        raise _damaged(frame, "it says that it is not compressed, and is too short")
    return len(_imagecodecs().blosc_decode(packed[:packed_size], out=room))


def _jpeg(frame: Frame, out: npt.NDArray[Any], _: Bytes) -> int:
    # The decoder refuses a picture of another shape than `out` before it unpacks.
    picture = _imagecodecs().jpeg8_decode(frame.payload, out=out.view(np.uint8))
    return int(picture.nbytes)


def _bslz4(frame: Frame, _: npt.NDArray[Any], room: Bytes) -> int:
    item = frame.dtype.itemsize
    packed: bytes | Bytes = frame.payload
    if not _is_chunk(frame):
        packed = _CHUNK.pack(frame.size, _BSLZ4_BLOCK) + frame.payload.tobytes()
    pixels = _dectris()(packed, "bslz4", elem_size=item)
    if len(pixels) == len(room):
        np.copyto(room, np.frombuffer(pixels, np.uint8))
    return len(pixels)


def _is_chunk(frame: Frame) -> bool:
    """Return whether the 12 bytes of an HDF5 chunk are there, and possible."""
    if len(frame.payload) < _CHUNK.size:
        return False
    size, block = _CHUNK.unpack_from(frame.payload.data)
    return bool(size == frame.size and block <= _LARGEST_BLOCK)


_DECODERS: dict[str, Callable[[Frame, npt.NDArray[Any], Bytes], int]] = {
    "zlib": _zlib,
    "lz4": _lz4,
    "lz4hdf5": _lz4hdf5,
    "blosc": _blosc,
    "jpeg": _jpeg,
    "bslz4": _bslz4,
}


@cache
def _imagecodecs() -> ModuleType:
    try:
        import imagecodecs  # noqa: PLC0415 - only where frames are compressed
    except ImportError as error:
        raise MissingExtraError(
            "a compressed EPICS channel", "imagecodecs", "epics"
        ) from error
    module: ModuleType = imagecodecs
    return module


@cache
def _dectris() -> Callable[..., bytes]:
    try:
        from dectris.compression import decompress  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingExtraError(
            "an EPICS channel packed as bslz4", "dectris-compression", "epics"
        ) from error
    return decompress  # type: ignore[no-any-return]  # it ships no types
