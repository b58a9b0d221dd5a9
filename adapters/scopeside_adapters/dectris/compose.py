"""What a DECTRIS detector sends: messages of both streams, made from frames."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside.errors import MissingExtraError

Array = npt.NDArray[Any]
Stream = Literal["v1", "v2"]
Compression = Literal["none", "lz4", "bslz4"]
Detail = Literal["none", "basic", "all"]

TICKS = 50_000_000
"""Of the detector's clock, a second."""
_TAGS = {1: 64, 2: 69, 4: 70}


@dataclass(frozen=True)
class Series:
    """One series of images.

    Attributes
    ----------
    blobs
        Compressed frames by channel; they are used again from the first on.
    config
        What the detector module is set to.
    appendix
        Goes with header and images; empty: none.
    """

    series: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    images: int
    compression: Compression
    detail: Detail
    blobs: dict[str, list[bytes]]
    config: dict[str, Any] = field(default_factory=dict)
    appendix: str = ""
    began: datetime.datetime = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)

    @property
    def frame_time_ns(self) -> int:
        """From one image to the next, ns."""
        return int(float(self.config.get("frame_time", 1e-3)) * 1e9)


def start_of(series: Series, stream: Stream) -> list[bytes]:
    """Return the message that `arm` sends."""
    return _start_v1(series) if stream == "v1" else [_start_v2(series)]


def image_of(series: Series, stream: Stream, number: int) -> list[bytes]:
    """Return the message of one image."""
    return _image_v1(series, number) if stream == "v1" else [_image_v2(series, number)]


def end_of(series: Series, stream: Stream) -> list[bytes]:
    """Return the message that ends the series."""
    if stream == "v1":
        return [_json({"htype": "dseries_end-1.0", "series": series.series})]
    return [_cbor({"type": "end", **_identity(series)})]


def compress(frames: Array, compression: Compression, stream: Stream) -> list[bytes]:
    """Return each frame of ``frames (n, height, width)`` as the detector sends it.

    Raises
    ------
    MissingExtraError
        If h5py or hdf5plugin, which compress, are not installed.
    """
    if compression == "none":
        return [frame.tobytes() for frame in frames]
    try:
        h5py = importlib.import_module("h5py")
        hdf5plugin = importlib.import_module("hdf5plugin")
    except ImportError as error:
        raise MissingExtraError(
            "the compressing simulator", "h5py with hdf5plugin", "formats"
        ) from error
    # HDF5 filters 32008 and 32004 write what DECTRIS detectors send.
    codec = (
        hdf5plugin.Bitshuffle(cname="lz4")
        if compression == "bslz4"
        else hdf5plugin.LZ4(nbytes=0)
    )
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset(
            "x", data=frames, chunks=(1, *frames.shape[1:]), **codec
        )
        blobs = [
            bytes(data.id.read_direct_chunk((k, 0, 0))[1]) for k in range(len(frames))
        ]
    if compression == "lz4" and stream == "v1":
        return [_bare(blob) for blob in blobs]
    return blobs


def _bare(blob: bytes) -> bytes:
    """Return the one LZ4 block out of its framing, as stream V1 sends it."""
    total, block = int.from_bytes(blob[:8], "big"), int.from_bytes(blob[8:12], "big")
    if block < total:
        raise ValueError(f"{total} bytes are more than one LZ4 block")
    inside = blob[16:]
    return _literals(inside) if len(inside) == total else inside


def _literals(raw: bytes) -> bytes:
    """Return pixels that cannot be compressed as an LZ4 block of literals."""
    n = len(raw)
    if n < 15:
        return bytes([n << 4]) + raw
    full, rest = divmod(n - 15, 255)
    return b"\xf0" + b"\xff" * full + bytes([rest]) + raw


# -- stream V1 ----------------------------------------------------------------------


def _start_v1(series: Series) -> list[bytes]:
    header = {
        "htype": "dheader-1.0",
        "series": series.series,
        "header_detail": series.detail,
    }
    parts = [_json(header)]
    if series.detail != "none":
        parts.append(_json(series.config))
    if series.detail == "all":
        height, width = series.shape
        flat, mask = np.ones(series.shape, "<f4"), _mask(series.shape)
        table = np.tile(np.arange(4000, dtype="<f4")[:, None], (1, 2))
        for name, shape, array in (
            ("dflatfield-1.0", [width, height], flat),
            ("dpixelmask-1.0", [width, height], mask),
            ("dcountrate_table-1.0", [2, 4000], table),
        ):
            said = {"htype": name, "shape": shape, "type": array.dtype.name}
            parts += [_json(said), array.tobytes()]
    return parts + _appendix(series)


def _image_v1(series: Series, number: int) -> list[bytes]:
    (blobs,) = list(series.blobs.values())[:1]
    blob = blobs[number % len(blobs)]
    height, width = series.shape
    start = number * series.frame_time_ns
    encoding = {
        "none": "<",
        "lz4": "lz4<",
        "bslz4": f"bs{8 * series.dtype.itemsize}-lz4<",
    }[series.compression]
    name = {
        "htype": "dimage-1.0",
        "series": series.series,
        "frame": number,
        "hash": hashlib.md5(blob, usedforsecurity=False).hexdigest(),
    }
    form = {
        "htype": "dimage_d-1.0",
        "shape": [width, height],
        "type": series.dtype.name,
        "encoding": encoding,
        "size": len(blob),
    }
    times = {
        "htype": "dconfig-1.0",
        "start_time": start,
        "stop_time": start + series.frame_time_ns,
        "real_time": series.frame_time_ns,
    }
    return [_json(name), _json(form), blob, _json(times), *_appendix(series)]


def _appendix(series: Series) -> list[bytes]:
    return [series.appendix.encode()] if series.appendix else []


def _json(said: Any) -> bytes:
    return json.dumps(said).encode()


# -- stream V2 ----------------------------------------------------------------------


def _start_v2(series: Series) -> bytes:
    height, width = series.shape
    config = series.config
    said = {
        "type": "start",
        **_identity(series),
        "arm_date": series.began,
        "number_of_images": series.images,
        "image_size_x": width,
        "image_size_y": height,
        "image_dtype": series.dtype.name,
        "channels": list(series.blobs),
        "count_time": config.get("count_time", 1e-3),
        "frame_time": config.get("frame_time", 1e-3),
        "incident_energy": config.get("incident_energy", 200e3),
        "saturation_value": int(np.iinfo(series.dtype).max) - 1,
        "detector_description": config.get("description", "Simulated"),
        "detector_serial_number": "E-00-0000",
        "threshold_energy": dict.fromkeys(series.blobs, 30e3),
        "pixel_mask_enabled": True,
        "user_data": series.appendix or None,
    }
    if series.detail == "all":
        flat, mask = np.ones(series.shape, "<f4"), _mask(series.shape)
        said["flatfield"] = {c: _two_dim(flat, 85) for c in series.blobs}
        said["pixel_mask"] = {c: _two_dim(mask, 70) for c in series.blobs}
        table = np.arange(4000, dtype="<f4").tobytes()
        said["countrate_correction_lookup_table"] = _tag(85, table)
    return _cbor(said)


def _image_v2(series: Series, number: int) -> bytes:
    start = number * series.frame_time_ns * TICKS // 10**9
    exposed = series.frame_time_ns * TICKS // 10**9
    item = series.dtype.itemsize
    data = {}
    for channel, blobs in series.blobs.items():
        blob: Any = blobs[number % len(blobs)]
        if series.compression != "none":
            element = item if series.compression == "bslz4" else 0
            blob = _tag(56500, [series.compression, element, blob])
        data[channel] = _tag(40, [list(series.shape), _tag(_TAGS[item], blob)])
    return _cbor(
        {
            "type": "image",
            **_identity(series),
            "image_id": number,
            "real_time": [exposed, TICKS],
            "series_date": series.began,
            "start_time": [start, TICKS],
            "stop_time": [start + exposed, TICKS],
            "user_data": series.appendix or None,
            "data": data,
        }
    )


def _identity(series: Series) -> dict[str, Any]:
    unique = f"01HBV3JPF9T4ZDPADX8E{series.series % 10**6:06d}"
    return {"series_id": series.series, "series_unique_id": unique}


def _two_dim(array: Array, tag: int) -> Any:
    return _tag(40, [list(array.shape), _tag(tag, array.tobytes())])


def _mask(shape: tuple[int, int]) -> Array:
    return np.zeros(shape, "<u4")


def _tag(tag: int, value: Any) -> Any:
    return importlib.import_module("cbor2").CBORTag(tag, value)


def _cbor(said: dict[str, Any]) -> bytes:
    """Encode with the tag 55799 before it, as detectors do."""
    encoded: bytes = importlib.import_module("cbor2").dumps(_tag(55799, said))
    return encoded
