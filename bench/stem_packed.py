"""How fast frames packed by bitshuffle and LZ4 are summed, unpacked or not.

    python bench/stem_packed.py

One thread; thread CPU time, best of many runs. Five rings, total and first moments.
"Decoder" is the C function of dectris-compression, which only unpacks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.packed import PackedBatch
from scopeside_adapters.dectris.compose import compress
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CODEC,
    ELEMENT,
    ITEM,
    SIZE,
    new_rows,
)
from scopeside_processors.kernels import com, virtual
from scopeside_processors.kernels.planes import planes_of_labels, sum_planes

# bench/dectris.py lies beside this file and would be taken for the library.
sys.path = [entry for entry in sys.path if not entry.endswith("bench")]

FRAMES = 64
Row = tuple[str, str, float, str, str]


def rows() -> list[Row]:
    """Return (what, size, rate, unit, target) for each measurement."""
    found: list[Row] = []
    for side in (96, 192):
        for electrons in (500, 5_000, 50_000, 500_000):
            found += _of(side, electrons)
    return found


def _of(side: int, electrons: int) -> list[Row]:
    frames = _patterns(side, electrons)
    blobs = compress(frames, "bslz4", "v2")
    ratio = frames.nbytes / sum(map(len, blobs))
    batch, label = _batch(blobs, frames), _rings(side)
    planes = planes_of_labels(label, 5, (side, side), 2)
    expected = np.stack(
        [(frames * (label == k).reshape(side, side)).sum((1, 2)) for k in range(5)],
        axis=1,
    )
    np.testing.assert_array_equal(sum_planes(batch, planes)[0], expected)
    size = f"{side}² u16, {electrons:,} e⁻, {ratio:.0f}:1"
    target = "≥ 60,000" if side == 192 else ""
    data, table = _for_decoder(blobs)
    pixels = np.empty_like(frames)
    regions = virtual.runs_of([(label == k).reshape(side, side) for k in range(5)])
    everywhere = com.region_of(np.ones((side, side), np.bool_))

    def unpack_and_sum() -> None:
        for _, part in batch.portions():
            virtual.sum_runs(part.pixels, regions)
            com.moments(part.pixels, everywhere)

    with Decoder(1) as decoder:
        rates = {
            "summed as they are": _rate(lambda: sum_planes(batch, planes)),
            "unpacked, then summed": _rate(unpack_and_sum),
            "decoder alone": _rate(lambda: decoder.decode(data, table, pixels)),
        }
    return [
        (what, size, rate, "frames/s", target if what == "summed as they are" else "")
        for what, rate in rates.items()
    ]


def _patterns(side: int, electrons: int) -> npt.NDArray[np.uint16]:
    """Return patterns with a bright disk and a tail, as a thin sample gives them."""
    y, x = np.mgrid[:side, :side]
    r = np.hypot(y - side / 2, x - side / 2) / (side / 2)
    mean = np.where(r < 0.3, 1.0, 0.0) + 0.03 * np.exp(-((r / 0.35) ** 2))
    mean += 0.002 / (0.05 + r**2)
    mean *= electrons / mean.sum()
    counts = np.random.default_rng(1).poisson(mean, (FRAMES, side, side))
    return counts.clip(0, 65535).astype(np.uint16)


def _rings(side: int) -> npt.NDArray[np.int64]:
    y, x = np.mgrid[:side, :side]
    r = np.hypot(y - side / 2, x - side / 2) / (side / 2)
    return np.minimum((r / 0.3).astype(np.int64), 4).ravel()


def _batch(blobs: list[bytes], frames: npt.NDArray[Any]) -> PackedBatch:
    n, starts, words = len(blobs), [], []
    at = n
    for blob in blobs:
        starts.append(at)
        words.append(np.frombuffer(blob + bytes(-len(blob) % 8), np.uint64))
        at += len(words[-1])
    index = np.arange(n, dtype=np.int64)
    table = np.array(starts, np.uint64)
    shape = (frames.shape[1], frames.shape[2])
    return PackedBatch(
        np.concatenate([table, *words]), index, index, shape, frames.dtype
    )


def _for_decoder(blobs: list[bytes]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    table = new_rows(len(blobs))
    sizes = np.array([len(blob) for blob in blobs])
    table[:, SIZE], table[:, AT] = sizes, np.cumsum(sizes) - sizes
    table[:, CODEC], table[:, ELEMENT], table[:, ITEM] = BSLZ4, 2, 2
    return np.frombuffer(b"".join(blobs), np.uint8).copy(), table


def _rate(run: Callable[[], Any]) -> float:
    run()
    times = []
    for _ in range(50):
        began = time.thread_time()
        run()
        times.append(time.thread_time() - began)
    return FRAMES / min(times)


if __name__ == "__main__":
    for what, size, rate, unit, target in rows():
        print(f"{what:22} {size:28} {rate:10,.0f} {unit:10} {target}")
