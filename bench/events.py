"""Virtual detectors straight from events: the processor alone, then the whole path.

    python bench/events.py [--seconds 5] [--detectors 1 4 16] [--json FILE]

The words are those of a batch as it lies in the slab: as many as 2 MiB hold, of probe
positions that follow each other and are a little out of order, on 256 × 256 pixels.

Columns: million events a second of the sink's check, of `virtual` on one core, and of
the whole path (memory → slab → worker → collector), with the CPU time of all its
processes for a billion events.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))


WORDS = (2 << 20) // 8
EVENTS_PER_POSITION = (64, 4096)


@dataclass
class Row:
    """One line of the table."""

    detectors: int
    events_per_position: int
    check_m_per_s: float
    virtual_m_per_s: float
    path_m_per_s: float
    path_cpu_s_per_g: float
