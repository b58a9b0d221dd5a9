"""Event words of the frames of ASI's sparse stream."""

from __future__ import annotations

from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.tables import Array

_MOST = 0xFFFF


@compiled
def pack(index: Array, value: Array, bounds: Array, pixels: int, words: Array) -> int:
    """Fill `words`; return what was cut off values, -1 if a pixel is none."""
    cut = 0
    for frame in range(len(bounds) - 1):
        place = frame << 40
        for i in range(bounds[frame], bounds[frame + 1]):
            address, count = int(index[i]), int(value[i])
            if address < 0 or address >= pixels:
                return -1
            if count > _MOST or count < 0:
                cut += count - _MOST if count > _MOST else 1
                count = _MOST
            words[i] = place | (count << 24) | address
    return cut
