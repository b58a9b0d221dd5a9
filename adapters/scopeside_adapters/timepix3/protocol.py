"""Raw TPX3: 64-bit little-endian words, as Serval sends them and .tpx3 files hold them.

A chunk is a header and ``size / 8`` words::

    header   63..48 size, bytes | 39..32 chip | 31..0 "TPX3"
    hit      63..60 0xB | 59..44 PixAddr | 43..30 ToA | 29..20 ToT | 19..16 FToA
             | 15..0 SPIDR time
    edge     63..60 0x6 | 59..56 edge | 55..44 counter | 43..9 coarse | 8..5 fine
    global   63..56 0x44 | 47..16 low 32 bits;  63..56 0x45 | 31..16 high 16 bits
    packet   63..56 0x50 | 47..0 running count
    control  63..56 0x5F shutter opens, 0x5A closes, 0x5C heartbeat | 45..12 time

A hit's time is ``(((SPIDR << 14) | ToA) << 4) - FToA`` in ticks of 1.5625 ns and begins
anew after 2**34 of them; an edge's is ``2 * coarse + (fine - 1) // 6``, and begins anew
after 2**36. Serval manual 3.2, appendix on raw data.

Hits are in no strict order, and edges come by another path. What decides where a hit
belongs is in ``kernels.py``; this module owns its memory and sets no socket, clock or
thread in motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scopeside.errors import ProtocolError
from scopeside_adapters.timepix3 import kernels
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.clusters import find_clusters
from scopeside_adapters.timepix3.layout import CameraLayout
from scopeside_adapters.timepix3.places import finish
from scopeside_adapters.timepix3.scan import ScanPlan
from scopeside_adapters.timepix3.tables import Array

_HITS_PER_S = 150e6
_FEWEST_PENDING = 1 << 16
_MOST_GARBAGE = 1 << 17
"""Words (1 MiB) without a header, after which nobody believes in TPX3 any more."""
_LINES_WITHOUT_END = 8


@dataclass(frozen=True, slots=True)
class Clusters:
    """Hits that belong to one electron: within so many ticks and pixels."""

    window: int
    radius: int


class RawParser:
    """Turns raw words into events of probe positions, as far as lines are known.

    Attributes
    ----------
    memory
        What `gather` takes the events from; see ``tables.py``.
    """

    def __init__(
        self,
        layout: CameraLayout,
        plan: ScanPlan,
        *,
        value: Literal["count", "tot"] = "count",
        clusters: Clusters | None = None,
        hits_per_s: float = _HITS_PER_S,
    ) -> None:
        # Twice what comes within the window: hits wait for edges, or lie in segments.
        window = int(
            hits_per_s * (2 * plan.reorder_s + k.SEGMENT_TICKS / k.TICKS_PER_S)
        )
        waiting = max(_FEWEST_PENDING, window)
        self.memory = k.new_memory(
            *layout.tables(),
            pool_events=2 * waiting + k.SEGMENTS,
            pending=waiting,
            held=2 * waiting if clusters is not None else 0,
        )
        self._clusters = clusters
        self._layout = layout
        self._value = value
        self._garbage = 0
        m = self.memory
        counts_tot = value == "tot" or clusters is not None
        m[k.ONE], m[k.TOT_MASK] = (0, 0x3FF) if counts_tot else (1, 0)
        m[k.CLUSTER] = clusters is not None
        plan.write(m)

    def feed(self, words: Array, begin: int, stop: int) -> int:
        """Take ``words[begin:stop]``, int64, and return how far it came.

        It ends early where `memory` is full: take events out of it, and call again.

        Raises
        ------
        ProtocolError
            If this cannot be TPX3.
        """
        m = self.memory
        before = int(m[k.CHUNKS])
        come = int(kernels.parse(words, begin, stop, m))
        if self._clusters is not None:
            self._find_clusters(int(m[k.NOW] - m[k.REORDER]))
        self._garbage = 0 if m[k.CHUNKS] > before else self._garbage + come - begin
        if self._garbage > _MOST_GARBAGE + k.BLOCK and m[k.LEFT] == 0:
            raise ProtocolError(
                f"no TPX3 header in {8 * self._garbage >> 20} MiB", cause="no_header"
            )
        if m[k.ACTIVE] == 0 and m[k.NEXT_LINE] >= _LINES_WITHOUT_END:
            raise ProtocolError(
                f"{m[k.NEXT_LINE]} lines began on the TDC input, but no falling edge "
                "says for how long they are lit: have Serval send both edges (Tdc "
                "PN0123), or set active_us or duty",
                cause="no_falling_edge",
            )
        return come

    def resume(self, silence_s: float) -> None:
        """Say that words come again after a silence, so that wraps are not missed."""
        ticks = round(silence_s * k.TICKS_PER_S)
        self.memory[k.LEAD] = min(ticks // 2, k.HIT_WRAP * 3 // 8)

    def finish(self) -> None:
        """Nothing more will come: count the hits that still wait."""
        if self._clusters is not None:
            self._find_clusters(np.iinfo(np.int64).max)
        finish(self.memory)

    @property
    def now(self) -> int:
        """The time of the stream, ticks."""
        return int(self.memory[k.NOW])

    def _find_clusters(self, before: int) -> None:
        found = self._clusters
        assert found is not None
        sums = self._value == "tot"
        width = self._layout.shape[1]
        find_clusters(before, found.window, found.radius, width, sums, self.memory)


def check_first_word(word: bytes) -> None:
    """Refuse a peer that begins with something else than a chunk.

    Raises
    ------
    ProtocolError
        With what was found in its place.
    """
    if word[:4] != b"TPX3":
        raise ProtocolError(
            f"it begins with {word!r}, not with 'TPX3'", cause="wrong_magic"
        )
