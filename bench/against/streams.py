"""The streams of `bench/peers.py`, and the files from which they are sent.

A stream repeats a library of Poisson frames, so that what each of its frames sums up
to is known.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LIBRARY = 64
"""Different frames in a stream; those that follow are the same again."""
DISK = 0.1
RINGS = ((0.15, 0.3), (0.3, 0.5))
"""Radii of the virtual detectors, as shares of the frame's height."""
NAMES = ("disk", "inner", "outer")


@dataclass(frozen=True)
class Stream:
    """What is sent: one acquisition, again and again."""

    protocol: str
    size: int
    dtype: str
    scan: tuple[int, int]
    mean: float = 1.0

    @property
    def name(self) -> str:
        """As it stands in the table."""
        bits = 8 * np.dtype(self.dtype).itemsize
        kind = " bslz4" if self.protocol == "dectris" else ""
        return f"{self.protocol} {self.size}x{self.size} u{bits}{kind}"

    @property
    def frames(self) -> int:
        """Frames in an acquisition."""
        return self.scan[0] * self.scan[1]

    @property
    def centre(self) -> float:
        """Row and column of the middle."""
        return (self.size - 1) / 2

    def library(self) -> np.ndarray:
        """Return the different frames, (LIBRARY, size, size), little endian."""
        rng = np.random.default_rng(2026)
        shape = (LIBRARY, self.size, self.size)
        return rng.poisson(self.mean, shape).astype(self.dtype)

    def masks(self) -> np.ndarray:
        """Return disk and annuli, (3, size, size) bool."""
        row, column = np.ogrid[: self.size, : self.size]
        squared = (row - self.centre) ** 2 + (column - self.centre) ** 2
        radii = [(-1.0, DISK), *RINGS]
        return np.stack(
            [
                (squared > (a * self.size) ** 2 if a >= 0 else True)
                & (squared <= (b * self.size) ** 2)
                for a, b in radii
            ]
        )

    def truth(self) -> dict[str, np.ndarray]:
        """Return what every frame sums up to, each (frames,), by name; and ``com``."""
        library = self.library().astype(np.int64)
        sums = np.einsum("nyx,kyx->kn", library, self.masks().astype(np.int64))
        place = np.arange(self.size)
        total = library.sum(axis=(1, 2))
        moments = library.sum(axis=2) @ place, library.sum(axis=1) @ place
        com = np.stack([moment / total for moment in moments], axis=1)
        which = np.arange(self.frames) % LIBRARY
        found = {name: values[which] for name, values in zip(NAMES, sums, strict=True)}
        return {**found, "com": com[which]}


# -- Merlin -------------------------------------------------------------------------


def merlin_header(stream: Stream) -> bytes:
    """Return the text that opens an acquisition."""
    depth = {1: 6, 2: 12}[np.dtype(stream.dtype).itemsize]
    lines = [
        "HDR,\t",
        "Time and Date Stamp (day, mnth, yr, hr, min, s):\t02/01/2026 03:04:05",
        "Chip ID:\tW529_F5,-,-,-",
        "Assembly Size (NX1, 2X2):\t   1x1",
        f"Counter Depth (number):\t{depth}",
        f"Frames in Acquisition (Number):\t{stream.frames}",
        f"Frames per Trigger (Number):\t{stream.scan[1]}",
        "Software Version:\t1.6.1.217",
        "End\t",
    ]
    return "\n".join(lines).encode("latin-1")


def merlin_frame_header(stream: Stream, number: int) -> bytes:
    """Return the header of the frame that the detector counts as `number`, from 1."""
    depth = {1: 6, 2: 12}[np.dtype(stream.dtype).itemsize]
    kind = f"U{8 * np.dtype(stream.dtype).itemsize:02d}"
    levels = ",".join(["1.200000E+2"] + ["5.110000E+2"] * 7)
    dacs = ",".join(["511"] * 27)
    text = (
        f"MQ1,{number:06d},00384,01,{stream.size:04d},{stream.size:04d},{kind},   1x1,"
        f"01,2026-01-02 03:04:05.000000,0.000500,0,0,0,{levels},3RX,{dacs},"
        f"MQ1A,2026-01-02T03:04:05.000000000Z,500000ns,{depth},"
    )
    return text.encode("ascii").ljust(384, b"\0")


def merlin_pixels(stream: Stream) -> np.ndarray:
    """Return the library as it is sent: big endian."""
    library = stream.library()
    return library.astype(library.dtype.newbyteorder(">"))


def write_merlin(stream: Stream, folder: Path) -> Path:
    """Write the acquisition as ``.mib`` and ``.hdr``; return the latter."""
    pixels = merlin_pixels(stream)
    record = np.zeros(
        LIBRARY, [("header", "S384"), ("pixels", pixels.dtype, pixels.shape[1:])]
    )
    record["pixels"] = pixels
    base = folder / stream.name.replace(" ", "_")
    with base.with_suffix(".mib").open("wb") as file:
        for first in range(0, stream.frames, LIBRARY):
            n = min(LIBRARY, stream.frames - first)
            record["header"][:n] = [
                merlin_frame_header(stream, first + i + 1) for i in range(n)
            ]
            record[:n].tofile(file)
    base.with_suffix(".hdr").write_bytes(merlin_header(stream))
    return base.with_suffix(".hdr")


# -- DECTRIS ------------------------------------------------------------------------


def compressed(stream: Stream) -> list[bytes]:
    """Return the library as bslz4 with its header of 12 bytes, as HDF5 keeps it."""
    import h5py  # noqa: PLC0415 - only this stream needs it
    import hdf5plugin  # noqa: PLC0415

    library = stream.library()
    with h5py.File("library", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset(
            "data",
            data=library,
            chunks=(1, *library.shape[1:]),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        return [data.id.read_direct_chunk((i, 0, 0))[1] for i in range(LIBRARY)]


def write_dectris(stream: Stream, folder: Path) -> Path:
    """Write the acquisition as LiberTEM-live's simulator replays it; return the file.

    Each part of a message is 8 bytes of length, little endian, and its bytes.
    """
    path = folder / (stream.name.replace(" ", "_") + ".dump")
    chunks = compressed(stream)
    bits = 8 * np.dtype(stream.dtype).itemsize
    config = {
        "description": "Dectris ARINA",
        "bit_depth_image": bits,
        "compression": "bslz4",
        "count_time": 1e-5,
        "frame_time": 1e-5,
        "nimages": 1,
        "ntrigger": stream.frames,
        "trigger_mode": "exte",
        "x_pixels_in_detector": stream.size,
        "y_pixels_in_detector": stream.size,
    }
    header = {"htype": "dheader-1.0", "series": 1, "header_detail": "basic"}
    with path.open("wb") as file:

        def part(content: Any) -> None:
            raw = (
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )
            file.write(struct.pack("<q", len(raw)) + raw)

        part(header)
        part(config)
        for number in range(stream.frames):
            chunk = chunks[number % LIBRARY]
            image = {"htype": "dimage-1.0", "series": 1, "frame": number}
            part({**image, "hash": "0" * 32})
            part(
                {
                    "htype": "dimage_d-1.0",
                    "shape": [stream.size, stream.size],
                    "type": f"uint{bits}",
                    "encoding": f"bs{bits}-lz4<",
                    "size": len(chunk),
                }
            )
            part(chunk)
            times = {"start_time": 0, "stop_time": 0, "real_time": 0}
            part({"htype": "dconfig-1.0", **times})
        part({"htype": "dseries_end-1.0", "series": 1})
    return path
