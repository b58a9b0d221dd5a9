"""The recorder against a plain sequential write to the same disk.

    python bench/record.py [--seconds 15] [--rounds 4] [--share 0.45] [--to FOLDER]

A plain write: one thread, pieces of 4 MiB, brought to the disk (fdatasync) each second,
as the recorder does, and at the end; once through the kernel's page cache and once past
it (O_DIRECT), as the recorder writes. Then frames of 256×256 u16 come from a source
that cannot wait, as a camera cannot, at a share of the faster one, with the virtual-
imaging chain live; then the plain writes again. The speed of disks changes from minute
to minute: so there are several rounds, each held against the mean of the plain writes
before and after it. A round in which a frame is lost, on its way in, by the recorder or
by the chain, does not count, and the next asks for a tenth less.

The recorder's rate counts everything: bytes of the segments, over the time from the
first frame until the manifest is closed and all of it is on the disk.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import sys
import tempfile
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
from scopeside.supervise.session import Options, run  # noqa: E402

SHAPE = (256, 256)
DTYPE = np.dtype("uint16")
FRAME_BYTES = SHAPE[0] * SHAPE[1] * DTYPE.itemsize
PIECE = 4 << 20
FIRST = 0.45
"""Of the faster plain write: two cores that also make and sum the frames do no more."""
LOWER = 0.9


@dataclass
class Row:
    """One round."""

    cached_mb_per_s: float
    direct_mb_per_s: float
    asked_mb_per_s: float
    mb_per_s: float
    frames_per_s: float
    of_cached: float
    of_direct: float
    lost: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--share", type=float, default=FIRST, help="asked for at first")
    parser.add_argument("--to", type=Path, default=Path("bench-runs"))
    parser.add_argument("--spool-mib", type=int, default=512)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    console = Console()
    asked.to.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="record-", dir=asked.to))
    try:
        rows = measure(folder, asked, console)
    finally:
        shutil.rmtree(folder)
    console.print(table(rows))
    whole = [row for row in rows if row.lost == 0]
    if whole:
        console.print(
            f"{len(whole)} of {len(rows)} rounds without loss; median ratio to a plain "
            f"write {np.median([row.of_cached for row in whole]):.2f}, to a direct one "
            f"{np.median([row.of_direct for row in whole]):.2f}"
        )
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(row) for row in rows]) + "\n")


def measure(folder: Path, asked: argparse.Namespace, console: Console) -> list[Row]:
    """Return the rounds."""
    rows: list[Row] = []
    share, after = asked.share, plain_writes(folder, asked.seconds)
    for _ in range(asked.rounds):
        before, rate = after, share * max(after)
        found = one_run(folder, rate / FRAME_BYTES, asked)
        after = plain_writes(folder, asked.seconds)
        speed = found["bytes"] / found["seconds"]
        cached, direct = ((a + b) / 2 for a, b in zip(before, after, strict=True))
        row = Row(
            round(cached / 1e6),
            round(direct / 1e6),
            round(rate / 1e6),
            round(speed / 1e6),
            round(found["frames"] / found["seconds"]),
            round(speed / cached, 2),
            round(speed / direct, 2) if direct else 0.0,
            found["lost"],
        )
        if row.lost:
            share *= LOWER
        rows.append(row)
        console.print(row)
    return rows


def plain_writes(folder: Path, seconds: float) -> tuple[float, float]:
    """Return bytes/s through the cache, and past it (0: not on this file system)."""
    return plain_write(folder, seconds / 2), plain_write(
        folder, seconds / 2, direct=True
    )


def plain_write(folder: Path, seconds: float, *, direct: bool = False) -> float:
    """Return bytes/s of a file that is written for so long, with its fsync."""
    piece = mmap.mmap(-1, PIECE)
    piece[:] = np.random.default_rng(0).integers(0, 255, PIECE, np.uint8).tobytes()
    path = folder / "plain"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        fd = os.open(path, flags | (os.O_DIRECT if direct else 0))
    except OSError:
        return 0.0
    written, synced = 0, time.perf_counter()
    began = synced
    try:
        while (now := time.perf_counter()) - began < seconds:
            written += os.write(fd, piece)
            if now - synced > 1.0:
                # As the recorder does; else the file would lie in memory for long.
                os.fdatasync(fd)
                synced = time.perf_counter()
        os.fsync(fd)
        took = time.perf_counter() - began
    finally:
        os.close(fd)
        path.unlink()
    return written / took


def one_run(folder: Path, fps: float, asked: argparse.Namespace) -> dict:
    """Record once and return what came of it."""
    to = folder / "runs"
    pipeline = Pipeline.from_raw(tables(to, fps, asked), folder=ROOT, source="bench")
    times: dict[str, float] = {}

    def observe(engine, _watch) -> None:
        if engine.went is not None:
            times.setdefault("began", time.monotonic())

    report = run(pipeline, Options(), observe).report
    ended = time.monotonic()
    if not report["closed"]:
        raise SystemExit(f"the ledger is not closed: {report['exit']['reason']}")
    size = sum(path.stat().st_size for path in to.rglob("*.seg"))
    (acquisition,) = report["acquisitions"].values()
    lost = sum(acquisition["ingest"]["missing"].values())
    for account in acquisition["edges"].values():
        lost += sum(account["dropped"].values()) + sum(account["failed"].values())
    (manifest,) = to.glob("*/manifest.json")
    recorded = json.loads(manifest.read_text())["frames"]["recorded"]
    shutil.rmtree(to)
    return {
        "lost": lost,
        "bytes": size,
        "frames": recorded,
        "seconds": ended - times["began"],
    }


def tables(to: Path, fps: float, asked: argparse.Namespace) -> dict:
    """Return the pipeline: memory, recorder, virtual imaging."""
    middle = [SHAPE[0] / 2, SHAPE[1] / 2]
    detectors = {"bf": {"disk": [*middle, 20]}, "adf": {"annulus": [*middle, 40, 100]}}
    return {
        "detector": {
            "kind": "bench.memory_detector:MemoryDetector",
            "shape": list(SHAPE),
            "dtype": DTYPE.name,
            "seconds": asked.seconds,
            "rate": fps,
            "waits": False,
        },
        "record": {"to": str(to), "spool_mib": asked.spool_mib},
        "chain": [
            {
                "name": "stem",
                "processor": [{"kind": "virtual", "detectors": detectors}],
            }
        ],
    }


def table(rows: list[Row]) -> Table:
    """Return the figures as a person reads them."""
    found = Table(title="Recording 256×256 u16 with virtual imaging live, MB/s")
    plain = ("cached", "direct")
    for name in (*plain, "asked", "recorded", "frames/s", *plain, "lost"):
        found.add_column(name, justify="right")
    for row in rows:
        found.add_row(*(f"{value:g}" for value in asdict(row).values()))
    return found


if __name__ == "__main__":
    main()
