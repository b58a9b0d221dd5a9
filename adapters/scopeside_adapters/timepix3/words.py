"""Writes raw TPX3 words, many at a time; `protocol.py` draws them.

Times are in ticks of 1.5625 ns, from the moment at which the detector began to count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
TDC1_RISE, TDC1_FALL, TDC2_RISE, TDC2_FALL = 0xF, 0xA, 0xE, 0xB
MAGIC = 0x33585054  # "TPX3"
LARGEST_CHUNK = 0xFFFF // 8
"""Words; their number of bytes has 16 bits."""


def _u64(value: npt.ArrayLike) -> Words:
    return np.asarray(value).astype(np.int64).view(np.uint64)


def hits(
    x: npt.ArrayLike, y: npt.ArrayLike, time: npt.ArrayLike, tot: npt.ArrayLike
) -> Words:
    """Return a word for each hit: x, y 0 to 255, `time` in ticks, `tot` 0 to 1023."""
    x, y, time, tot = (np.asarray(v).astype(np.int64) for v in (x, y, time, tot))
    address = (
        ((x & ~1) << 8) & 0xFE00 | ((y & ~3) << 1) & 0x1F8 | ((x & 1) << 2) | y & 3
    )
    fine = -time & 15
    coarse = (time + fine) >> 4
    words = (address << 44) | ((coarse & 0x3FFF) << 30) | (tot << 20) | (fine << 16)
    words |= (coarse >> 14) & 0xFFFF
    return _u64(words) | np.uint64(0xB << 60)


def tdc(edge: int, counter: npt.ArrayLike, time: npt.ArrayLike) -> Words:
    """Return a word for each edge at `time`, with the 12-bit `counter`."""
    counter, time = np.asarray(counter), np.asarray(time).astype(np.int64)
    fine = 1 + 6 * (time & 1)
    words = ((counter & 0xFFF).astype(np.int64) << 44) | (fine << 5)
    words |= ((time >> 1) & ((1 << 35) - 1)) << 9
    return _u64(words) | np.uint64((0x6 << 60) | (edge << 56))


def global_time(time: int) -> Words:
    """Return the two words of the 48-bit clock at `time`."""
    clock = time >> 4
    spidr = (clock >> 14) & 0xFFFF
    low = (0x44 << 56) | ((clock & 0xFFFFFFFF) << 16) | spidr
    high = (0x45 << 56) | (((clock >> 32) & 0xFFFF) << 16) | spidr
    return np.array([low, high], np.uint64)


def control(kind: int, time: int) -> Words:
    """Return the word of a shutter (0xF opens, 0xA closes) or heartbeat (0xC)."""
    stamp = (time >> 4) & ((1 << 34) - 1)
    return np.array([(0x5 << 60) | (kind << 56) | (stamp << 12)], np.uint64)


def packet_id(number: int) -> Words:
    """Return the word with which Serval 3.2 begins a chunk."""
    return np.array([(0x50 << 56) | (number & ((1 << 48) - 1))], np.uint64)


def chunk(contents: npt.NDArray[Any], chip: int = 0) -> Words:
    """Return the words with the header of a chunk before them."""
    if len(contents) > LARGEST_CHUNK:
        raise ValueError(f"a chunk has {LARGEST_CHUNK} words at most")
    head = np.array([(8 * len(contents) << 48) | (chip << 32) | MAGIC], np.uint64)
    return np.concatenate([head, contents])
