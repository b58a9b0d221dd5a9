"""The whole path: memory → slab → worker (virtual) → collector, at full speed.

    python bench/throughput.py [--seconds 20] [--sizes 256x256:uint16 …] [--json FILE]

For each size, first as fast as frames are taken (nothing is lost, the source waits);
then at a fixed rate from a source that cannot wait, as a camera cannot, lowered until
`--seconds` pass with no frame lost. The copy that it is compared with, memory to
memory in one thread, is measured before and after in the same run.

Columns: GB/s and frames/s of the highest rate with zero lost; its ratio to the plain
copy; frame to result at a subscriber in another thread, p50 and p99, from the moment
the frame lay in the slab to the moment its image was received; CPU seconds of all
processes for a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.pipeline import Pipeline  # noqa: E402 - found by the lines above
from scopeside.subscribe import subscribe  # noqa: E402
from scopeside.supervise.engine import Engine  # noqa: E402
from scopeside.supervise.phase import Phase  # noqa: E402
from scopeside.supervise.session import Options, run  # noqa: E402
from scopeside.supervise.status import Watch  # noqa: E402

SIZES = (
    "96x96:uint16",
    "256x256:uint8",
    "256x256:uint16",
    "512x512:uint16",
    "2048x2048:uint16",
)
FIRST = 0.95
LOWER = 0.9
TRIES = 6
SETTLE_S = 1.0


@dataclass
class Row:
    """One line of the table."""

    size: str
    copy_gb_per_s: float
    lossless_gb_per_s: float
    gb_per_s: float
    frames_per_s: float
    of_copy: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_s_per_gb: float
    lost: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--batch-kib", type=int, default=2048)
    parser.add_argument("--slab-mib", type=int, default=256)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    console = Console()
    rows = []
    for size in asked.sizes:
        row = measure(size, asked, console)
        rows.append(row)
        console.print(table([row]))
    console.print(table(rows))
    if asked.json is not None:
        machine = {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg()[0],
        }
        found = {
            "machine": machine,
            "seconds": asked.seconds,
            "rows": [asdict(r) for r in rows],
        }
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(size: str, asked: argparse.Namespace, console: Console) -> Row:
    """Find the highest rate of one size."""
    shape, dtype = parse(size)
    frame = shape[0] * shape[1] * dtype.itemsize
    before = copy_speed()
    free = one_run(shape, dtype, min(asked.seconds, 10.0), None, asked)
    rate = FIRST * free["frames_per_s"]
    console.print(f"{size}: {free['frames_per_s']:.0f} frames/s when the source waits")
    for _ in range(TRIES):
        found = one_run(shape, dtype, asked.seconds, rate, asked)
        lost = found["lost"]
        console.print(f"{size}: at {rate:.0f} frames/s {lost} lost")
        if lost == 0:
            break
        rate *= LOWER
    copy = (before + copy_speed()) / 2
    speed = found["frames_per_s"] * frame / 1e9
    return Row(
        size,
        round(copy, 2),
        round(free["frames_per_s"] * frame / 1e9, 2),
        round(speed, 2),
        round(found["frames_per_s"]),
        round(speed / copy, 3),
        found["p50_ms"],
        found["p99_ms"],
        round(found["cpu_s"] / max(found["bytes"] / 1e9, 1e-9), 3),
        lost,
    )


def one_run(
    shape: tuple[int, int],
    dtype: np.dtype,
    seconds: float,
    rate: float | None,
    asked: argparse.Namespace,
) -> dict:
    """Run the engine once and return what it did."""
    pipeline = Pipeline.from_raw(
        tables(shape, dtype, seconds, rate, asked), folder=ROOT, source="bench"
    )
    meter = Meter(listen=rate is not None)
    outcome = run(pipeline, Options(), meter.observe)
    meter.stop()
    account = outcome.report["ledger"]["stem"]
    if not outcome.report["closed"]:
        raise SystemExit(f"the ledger is not closed: {outcome.reason}")
    (book,) = outcome.report["acquisitions"].values()
    return {
        "frames_per_s": book["ingest"]["received"] / seconds,
        "lost": account["announced"] - account["processed"],
        "p50_ms": meter.quantile(0.5),
        "p99_ms": meter.quantile(0.99),
        "cpu_s": meter.cpu_s,
        "bytes": outcome.report["rates"]["bytes"],
    }


def tables(shape, dtype, seconds, rate, asked) -> dict:
    """Return the pipeline of a run."""
    cy, cx = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    r = min(shape)
    detector = {
        "kind": "bench.memory_detector:MemoryDetector",
        "shape": list(shape),
        "dtype": dtype.name,
        "seconds": seconds,
        "waits": rate is None,
    }
    if rate is not None:
        detector["rate"] = rate
    rings = {
        "bf": {"disk": [cy, cx, 0.1 * r]},
        "abf": {"annulus": [cy, cx, 0.05 * r, 0.1 * r]},
        "adf": {"annulus": [cy, cx, 0.15 * r, 0.3 * r]},
        "haadf": {"annulus": [cy, cx, 0.3 * r, 0.5 * r]},
    }
    return {
        "detector": detector,
        "acquisition": {"scan": [512, 512]},
        "slab": {"mib": asked.slab_mib, "batch_kib": asked.batch_kib},
        "chain": [
            {"name": "stem", "processor": [{"kind": "virtual", "detectors": rings}]}
        ],
    }


class Meter:
    """Watches a run from outside: CPU time, and results as a subscriber sees them."""

    def __init__(self, *, listen: bool) -> None:
        self.cpu_s = 0.0
        self._listen = listen
        self._began: dict[int, float] | None = None
        self._ages_ms: list[float] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def observe(self, engine: Engine, _watch: Watch) -> None:
        """Take a look; called by the run."""
        pids = [m.process.pid for m in engine.members.values() if m.process is not None]
        now = {
            pid: seconds for pid in pids if (seconds := cpu_seconds(pid)) is not None
        }
        if engine.phase is Phase.RUNNING and self._began is None:
            self._began = now
            if self._listen:
                endpoint = f"ipc://{engine.folder.path}/results"
                self._thread = threading.Thread(target=self._hear, args=(endpoint,))
                self._thread.start()
        if self._began is not None and now:
            used = sum(s - self._began.get(pid, 0.0) for pid, s in now.items())
            self.cpu_s = max(self.cpu_s, used)

    def stop(self) -> None:
        """End listening."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def quantile(self, share: float) -> float | None:
        """Return an age in ms that `share` of the results did not exceed."""
        if not self._ages_ms:
            return None
        return round(float(np.quantile(self._ages_ms, share)), 2)

    def _hear(self, endpoint: str) -> None:
        settled = time.monotonic() + SETTLE_S
        with subscribe(endpoint, timeout=0.2) as subscription:
            while not self._ended.is_set():
                for result in subscription:
                    age = time.time_ns() - result.meta["t_frame_ns"]
                    if time.monotonic() > settled and not result.meta["final"]:
                        self._ages_ms.append(age / 1e6)


def copy_speed(seconds: float = 1.0) -> float:
    """Return GB/s of a plain copy in one thread, memory larger than the caches."""
    source = np.ones(64 << 20, np.uint8)
    target = np.ones(256 << 20, np.uint8)  # written, or its pages would not be there
    copied, at, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for k in range(0, len(source), 1 << 20):
            np.copyto(target[at : at + (1 << 20)], source[k : k + (1 << 20)])
            at = (at + (1 << 20)) % len(target)
        copied += len(source)
    return copied / (time.perf_counter() - began) / 1e9


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process so far, s; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_name() -> str:
    """Return the model of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def parse(size: str) -> tuple[tuple[int, int], np.dtype]:
    """Read ``256x256:uint16``."""
    shape, _, dtype = size.partition(":")
    height, _, width = shape.partition("x")
    return (int(height), int(width)), np.dtype(dtype)


def table(rows: list[Row]) -> Table:
    """Return the rows as a table."""
    found = Table(title="whole path, zero lost")
    for name in (
        "frames", "copy GB/s", "waits GB/s", "GB/s", "frames/s", "of copy",
        "p50 ms", "p99 ms", "CPU s/GB", "lost",
    ):  # fmt: skip
        found.add_column(name, justify="right")
    for row in rows:
        found.add_row(*(str(value) for value in asdict(row).values()))
    return found


if __name__ == "__main__":
    main()
