"""Virtual detectors straight from events: the processor alone, then the whole path.

    python bench/events.py [--seconds 10] [--detectors 1 4 16] [--json FILE]

A batch has the events that 2 MiB hold, of probe positions that follow each other and
are a little out of order, on 256 × 256 pixels.

Columns, in million events a second: the sink's check of the words, and `virtual`, each
in one thread, the best of 50 batches; the whole path (memory → slab → worker →
collector, zero lost), and what CPU time all its processes take for a billion events.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.event_detector import DTYPE, SHAPE, batch_of  # noqa: E402 - the lines above
from bench.throughput import Meter, cpu_name  # noqa: E402

from scopeside.acquisition import Acquisition, Scan  # noqa: E402
from scopeside.events import EventBatch, keep_good  # noqa: E402
from scopeside.pipeline import Pipeline  # noqa: E402
from scopeside.slab import EVENT_FRAMES  # noqa: E402
from scopeside.supervise.session import Options, run  # noqa: E402
from scopeside_processors.stem.virtual import Virtual  # noqa: E402

WORDS = (2 << 20) // 8
PER_POSITION = (256, 4096)
TIMES = 50


@dataclass
class Row:
    """One line of the table."""

    detectors: int
    per_position: int
    check_m_per_s: float
    virtual_m_per_s: float
    path_m_per_s: float
    cpu_s_per_g: float
    lost: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--detectors", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = [
        measure(detectors, per_position, asked.seconds)
        for per_position in PER_POSITION
        for detectors in asked.detectors
    ]
    Console().print(table(rows))
    if asked.json is not None:
        found = {
            "machine": {"cpu": cpu_name(), "cores": os.cpu_count()},
            "rows": [asdict(row) for row in rows],
        }
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(detectors: int, per_position: int, seconds: float) -> Row:
    """Measure the parts and the whole."""
    n, words = batch_of(WORDS, per_position, EVENT_FRAMES, 0)
    index = np.arange(n)
    batch = EventBatch(words, index, index, SHAPE, DTYPE)
    about = Acquisition("bench", SHAPE, DTYPE, scan=Scan((64, 64)), encoding="events")
    params = Virtual.Params.model_validate({"detectors": rings(detectors)})

    def summed() -> None:
        Virtual(about, params).process_events(batch)

    path = whole_path(detectors, per_position, seconds)
    return Row(
        detectors,
        per_position,
        rate(lambda: keep_good(words, n, SHAPE[0] * SHAPE[1]), len(words)),
        rate(summed, len(words)),
        *path,
    )


def rate(work: Callable[[], object], events: int) -> float:
    """Return million events a second, the best of many times."""
    work()
    best = float("inf")
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return round(events / best / 1e6, 1)


def rings(number: int) -> dict:
    """Return so many annuli around the middle, the first a disk."""
    centre = [(side - 1) / 2 for side in SHAPE]
    edges = np.linspace(0, SHAPE[0] / 2, number + 1)
    found = {"d0": {"disk": [*centre, float(edges[1])]}}
    for k in range(1, number):
        found[f"d{k}"] = {"annulus": [*centre, float(edges[k]), float(edges[k + 1])]}
    return found


def whole_path(
    detectors: int, per_position: int, seconds: float
) -> tuple[float, float, int]:
    """Run the engine; return M events/s, CPU s for 10⁹ events, and frames lost."""
    raw = {
        "detector": {
            "kind": "bench.event_detector:EventDetector",
            "per_position": per_position,
            "seconds": seconds,
        },
        "acquisition": {"scan": [1024, 1024]},
        "chain": [
            {
                "name": "stem",
                "processor": [{"kind": "virtual", "detectors": rings(detectors)}],
            }
        ],
    }
    meter = Meter(listen=False)
    pipeline = Pipeline.from_raw(raw, folder=ROOT, source="bench")
    outcome = run(pipeline, Options(), meter.observe)
    meter.stop()
    account = outcome.report["ledger"]["stem"]
    if not outcome.report["closed"]:
        raise SystemExit(f"the ledger is not closed: {outcome.reason}")
    events = outcome.report["rates"]["bytes"] // 8
    return (
        round(events / seconds / 1e6, 1),
        round(meter.cpu_s / max(events, 1) * 1e9, 2),
        account["announced"] - account["processed"],
    )


def table(rows: list[Row]) -> Table:
    """Return the rows as a table."""
    found = Table(title="virtual detectors from events, 256×256")
    for name in (
        "detectors", "events/position", "check M/s", "virtual M/s", "path M/s",
        "CPU s/10⁹", "lost",
    ):  # fmt: skip
        found.add_column(name, justify="right")
    for row in rows:
        found.add_row(*(str(value) for value in asdict(row).values()))
    return found


if __name__ == "__main__":
    main()
