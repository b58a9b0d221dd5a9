"""Compiles the kernels before anything is streamed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scopeside_adapters.timepix3 import gather
from scopeside_adapters.timepix3.csr_kernels import pack
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.protocol import Clusters, RawParser
from scopeside_adapters.timepix3.scan import ScanPlan


@lru_cache
def warm_up(*, cluster: bool) -> None:
    """Run every kernel on nothing."""
    plan = ScanPlan("none", 1, None, period_s=1.0, active_s=1.0)
    clusters = Clusters(1, 1) if cluster else None
    parser = RawParser(LAYOUTS["single"], plan, clusters=clusters, hits_per_s=1e6)
    parser.feed(np.empty(0, np.int64), 0, 0)
    parser.finish()
    m, none, facts = parser.memory, np.empty(0, np.int64), np.zeros(8, np.int64)
    gather.next_is(0, 0, m)
    gather.oldest(m, facts)
    gather.take(0, 0, none, none, none, 0, 0, m, facts)
    gather.sort_by_place(none, 0, none, np.zeros(1, np.int64))
    gather.merge_pixels(none, none)
    gather.drain(0, none, 0, m)
    gather.compact(1, none, none, m)
    for dtype in (np.uint16, np.uint32):
        gather.add_to_frames(none, 0, np.empty((0, 0), dtype))
    for index in (np.uint16, np.uint32):
        for value in (np.uint8, np.uint16):
            nothing = np.empty(0, index), np.empty(0, value)
            pack(*nothing, np.zeros(1, np.int64), 0, none)
