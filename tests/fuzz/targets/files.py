"""Files: those of cameras and of other programs, and runs that we have recorded."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xxhash
from tests.adapters.file.test_instruments import write_blo, write_mib, write_tvips
from tests.fuzz.mutate import join, split
from tests.fuzz.target import Target

from scopeside.batch import Batch
from scopeside.errors import MissingExtraError, ProtocolError, RunError, SourceError
from scopeside.packed import pack_frames
from scopeside.runs import manifest
from scopeside.runs.form import LINE, pack
from scopeside.runs.message import message_of
from scopeside.runs.run import Run
from scopeside.runs.scan import INDEX
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.raw import RawLayout
from scopeside_adapters.file.watch.growing import NotYetError
from scopeside_adapters.file.watch.opening import open_growing
from scopeside_adapters.file.watch.tiff_chain import Dialect
from scopeside_adapters.file.watch.writers import header, record

FRAMES = np.random.default_rng(2024).poisson(3.0, (4, 9, 8)).astype("<u2")
_NOT_GROWING = (".npz", ".blo", ".png", ".h5")
"""HDF5 tries damaged metadata of a growing file again for hours: docs/fuzzing.md."""
_LARGEST = 1 << 20
"""Bytes of a frame that is read: a slot of the slab has a size, too."""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of files
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory)


def _path(name: str) -> Path:
    return Path(_folder().name) / name


# -- frames ---------------------------------------------------------------------------


def frames_in(suffix: str, data: bytes) -> None:
    """Open a file, and read its first and its last frame with their times."""
    path = _path(f"fuzzed{suffix}")
    path.write_bytes(data)
    raw = RawLayout(shape=(9, 8), header_bytes=5) if suffix == ".dat" else None
    # What libraries warn of, the log has.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_frames(path, raw=raw) as frames:
            _read_some(frames)
        if suffix not in _NOT_GROWING:
            growing = open_growing(path, None, raw, 0.0)
            try:
                _read_some(growing)
            finally:
                growing.close()


def _read_some(frames: Any) -> None:
    facts = frames.facts
    assert min(facts.frame_shape) >= 1
    assert facts.count >= 0
    json.dumps([facts.metadata, facts.calibration, facts.missing], allow_nan=False)
    height, width = facts.frame_shape
    if height * width * facts.dtype.itemsize > _LARGEST or not facts.count:
        return
    for at in {0, facts.count - 1}:
        with suppress(SourceError):
            out = np.empty((1, height, width), facts.dtype)
            frames.read_into(at, out)
        frames.timestamps_ns(at, 1)


def _npz(path: Path) -> None:
    np.savez_compressed(path, a=FRAMES)


def _tiff(path: Path) -> None:
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)


def _hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", data=FRAMES, chunks=(2, 9, 8), compression="gzip")


def _mrc(path: Path) -> None:
    import mrcfile

    mrcfile.write(path, FRAMES.astype("<i2"))


def _seq(path: Path) -> None:
    frames = [record(".seq", k, f, 10**9 + k) for k, f in enumerate(FRAMES)]
    path.write_bytes(header(".seq", (9, 8), FRAMES.dtype) + b"".join(frames))


def _png(path: Path) -> None:
    import imageio.v3 as iio

    iio.imwrite(path, FRAMES[0].astype("u1"))


_WRITERS: dict[str, Callable[[Path], object]] = {
    ".npy": lambda path: np.save(path, FRAMES),
    ".npz": _npz,
    ".tif": _tiff,
    ".h5": _hdf5,
    ".mrc": _mrc,
    ".mib": write_mib,
    ".blo": write_blo,
    ".tvips": lambda path: write_tvips(path, FRAMES[:, :8]),
    ".seq": _seq,
    ".png": _png,
    ".dat": lambda path: path.write_bytes(b"12345" + FRAMES.tobytes()),
}


def _example(suffix: str) -> list[bytes]:
    path = _path(f"example{suffix}")
    _WRITERS[suffix](path)
    return [path.read_bytes()]


def tiff_chain(data: bytes) -> None:
    """Walk along the pages of a TIFF as of one that is being written."""

    def read(at: int, n: int) -> bytes:
        return data[at : at + n]

    dialect = Dialect.of(data[:4])
    if dialect is None:
        return
    link, last = dialect.first_link, 0
    while (at := dialect.follow(read, link)) > last:
        page = dialect.directory(read, at, len(data))
        if page is None:
            return
        link, last = page.link, page.at


# -- runs -----------------------------------------------------------------------------


def run(data: bytes) -> None:
    """Read a run: its manifest, index and one segment.

    The last part tells whether the digests are set right before: a hostile file has
    right ones.
    """
    parts = [*split(data), b"", b"", b"", b""]
    said, index, segment, chosen = parts[:4]
    folder = _path("run")
    folder.mkdir(exist_ok=True)
    (folder / manifest.NAME).write_bytes(said)
    (folder / INDEX).write_bytes(index)
    (folder / "000000.seg").write_bytes(_sealed(segment) if chosen else segment)
    with Run(folder) as found:
        with suppress(RunError):
            _ = found.acquisition, found.growing, found.frames
        for entry in found.entries:
            with suppress(RunError):
                found.message(entry)
            with suppress(RunError):
                found.batch(entry)


def _sealed(segment: bytes) -> bytes:
    """Return a segment with the digests that its bytes have, as far as it goes."""
    raw = bytearray(segment)
    if len(raw) >= LINE:
        raw[24:32] = _digest(raw[:24])
    at = LINE
    while at + LINE <= len(raw):
        size = int.from_bytes(raw[at + 24 : at + 32], "little")
        body = bytes(raw[at + LINE : at + LINE + size])
        raw[at + 48 : at + 56] = _digest(body)
        raw[at + 56 : at + 64] = _digest(raw[at : at + 56])
        at += LINE + size
    return bytes(raw)


def _digest(raw: bytes | bytearray) -> bytes:
    return xxhash.xxh3_64_intdigest(bytes(raw)).to_bytes(8, "little")


def _runs() -> list[bytes]:
    from scopeside.acquisition import Acquisition

    about = Acquisition("a", (9, 8), FRAMES.dtype, frames=4)
    count = np.arange(4, dtype=np.int64)
    found = []
    for number, batch in enumerate((Batch(FRAMES, count, count), pack_frames(FRAMES))):
        folder = _path(f"example{number}")
        writer = RunWriter.create(folder, 1 << 16)
        writer.append(Kind.START, {"acquisition": about.to_dict(), "epoch": 0})
        message = message_of("a", batch, seq=0, change=0)
        writer.append(
            Kind.BATCH, message.header, message.parts, n=message.n,
            first=message.first, last=message.last, t_ns=message.t_ns,
            t_last_ns=message.t_last_ns,
        )  # fmt: skip
        gap = {"acq": "a", "epoch": 0, "first": 4, "last": 5, "cause": "lost"}
        writer.append(Kind.GAP, gap)
        writer.close()
        manifest.write(folder, {"state": "complete", "acquisition": about.to_dict()})
        parts = [folder / manifest.NAME, folder / INDEX, folder / "000000.seg"]
        said, index, segment = (part.read_bytes() for part in parts)
        segment = segment.rstrip(b"\0").ljust(-(-len(segment) // LINE) * LINE, b"\0")
        found += [join([said, index, segment, b"1"]), join([said, b"", segment, b""])]
        # By other hands: a record whose header says what no writer of ours does.
        odd = pack(0, Kind.BATCH, {**message.header, "n": 1 << 40}, message.parts)
        found.append(join([said, b"", segment[:LINE] + _joined(odd.pieces), b"1"]))
    return found


def _joined(pieces: Sequence[Any]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)


def targets() -> Sequence[Target]:
    """Return them."""
    of_files = (SourceError, MissingExtraError, NotYetError)
    return (
        *(
            Target(
                f"file_{suffix[1:]}",
                partial(frames_in, suffix),
                partial(_example, suffix),
                of_files,
                # Pillow makes room for 179 million pixels before it sees the first.
                base=(2100 if suffix == ".png" else 8) << 20,
            )
            for suffix in _WRITERS
        ),
        Target("tiff_chain", tiff_chain, partial(_example, ".tif"), (ProtocolError,)),
        Target("run", run, _runs, (RunError,), parts=True),
    )
