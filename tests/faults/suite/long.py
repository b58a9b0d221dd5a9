"""``python -m tests.faults.suite.long``: half an hour of a movie, at maximal pace.

A movie of 30 minutes at 25 frames a second is recorded once, with the time stamps it
would have. The engine replays it with ``pace = "max"`` through drift correction, a sum,
and the recorder, while the memory and the descriptors of each process are looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.faults.suite.growth import Growth, Sample, growth_of
from tests.faults.suite.material import movie_frames
from tests.system.engine_runs import Running, running
from tests.system.plugins import lines

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.runs import manifest
from scopeside.runs.message import message_of
from scopeside.runs.recover import recover
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind

FPS = 25.0
BATCH = 16
EVERY_S = 0.5


def main() -> int:
    """Record, replay, watch; return 1 if anything grew or was lost."""
    asked = _arguments()
    frames = round(asked.minutes * 60 * FPS)
    with tempfile.TemporaryDirectory(prefix="sl-", dir=asked.folder) as name:
        folder = Path(name)
        record(folder / "movie", frames)
        samples, code = play(folder)
        # At the end they let go of what they have: that is not what is asked.
        samples = {
            name: [one for one in held if one.frames < frames]
            for name, held in samples.items()
        }
        report = json.loads((folder / "report.json").read_text())
    return show(samples, report, frames, code)


def record(folder: Path, frames: int) -> None:
    """Write a recording of so many frames, as if they had come at `FPS`."""
    known = movie_frames()
    about = Acquisition("movie", known.shape[1:], known.dtype, frames=frames)
    began_ns = time.time_ns() - round(frames / FPS * 1e9)
    writer = RunWriter.create(folder)
    said = {"acquisition": about.to_dict(), "epoch": 1, "change": 0, "changes": []}
    manifest.write(folder, {"state": manifest.RECORDING, **said})
    writer.append(Kind.START, said)
    for seq, first in enumerate(range(0, frames, BATCH)):
        index = np.arange(first, min(first + BATCH, frames))
        stamps = began_ns + (index * (1e9 / FPS)).astype(np.int64)
        # To and fro, so that the surface never leaps.
        place = len(known) - 1 - np.abs(index % (2 * len(known) - 2) - len(known) + 1)
        batch = Batch(known[place], index, stamps, 1)
        message = message_of("movie", batch, seq=seq, change=0)
        writer.append(
            Kind.BATCH,
            message.header,
            message.parts,
            n=message.n,
            first=message.first,
            last=message.last,
            t_ns=message.t_ns,
            t_last_ns=message.t_last_ns,
        )
    end = {"acq": "movie", "epoch": 1, "total": frames, "state": "complete"}
    writer.append(Kind.END, {**end, "reason": ""})
    writer.close()
    recover(folder)


def play(folder: Path) -> tuple[dict[str, list[Sample]], int]:
    """Replay it; return what each process held, and the exit code."""
    path = folder / "pipeline.toml"
    drift = {"kind": "drift", "trace_every": 100, "correct": "integer"}
    path.write_text(
        lines(
            detector={"kind": "replay", "path": folder / "movie", "pace": "max"},
            chain=[
                {"name": "film", "processor": [drift, {"kind": "sum"}]},
                {"name": "raw", "processor": [{"kind": "sum"}]},
            ],
            slab={"mib": 32, "batch_kib": 512},
            record={
                "to": folder / "runs",
                "spool_mib": 32,
                "segment_mib": 64,
                "keep_free_mib": 64,
            },
        )
    )
    arguments = ("run", path, "--report", "report.json", "--headless")
    with running(folder, *arguments) as engine:
        samples = watch(engine)
        return samples, engine.wait()


def watch(engine: Running) -> dict[str, list[Sample]]:
    """Look at all processes until the engine ends."""
    found: dict[str, list[Sample]] = {}
    while engine.process.poll() is None:
        status = engine.status()
        frames = status["rates"]["frames"] if status else 0
        pids = {one["name"]: one["pid"] for one in status.get("processes", [])}
        for name, pid in {**pids, "supervisor": engine.process.pid}.items():
            sample = look(pid, frames)
            if sample is not None and frames:
                found.setdefault(name, []).append(sample)
        time.sleep(EVERY_S)
    return found


def look(pid: int, frames: int) -> Sample | None:
    """Return what a process holds now; None if it is gone."""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines()
        )
        files = sum(1 for _ in (process / "fd").iterdir())
        return Sample(frames, int(status["RssAnon"].split()[0]) * 1024, files)
    except (OSError, KeyError):
        return None


def show(
    samples: dict[str, list[Sample]], report: dict[str, object], frames: int, code: int
) -> int:
    """Print the table; return the exit code."""
    print(f"{frames} frames ({frames / FPS / 60:.0f} min of a movie), exit code {code}")
    print(f"in {report['seconds']:.0f} s; ledger closed: {report['closed']}")
    print(
        f"{'process':<16}{'MiB':>8}{'grown':>8}{'allowed':>9}{'files':>7}{'grown':>7}"
    )
    good = code == 0 and bool(report["closed"])
    for name, held in samples.items():
        growth = growth_of(held)
        print(row(name, growth))
        good = good and growth is not None and growth.bounded
    print("nothing grows" if good else "FAILED")
    return 0 if good else 1


def row(name: str, growth: Growth | None) -> str:
    """Return a line of the table."""
    if growth is None:
        return f"{name:<16} too few samples"
    return (
        f"{name:<16}{growth.memory_mib:8.1f}{growth.grown_mib:8.2f}"
        f"{growth.allowed_mib:9.2f}{growth.files:7d}{growth.grown_files:7.2f}"
        f"{'' if growth.bounded else '  GROWS'}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.suite.long")
    parser.add_argument("--minutes", type=float, default=30.0, help="of movie (30)")
    parser.add_argument("--folder", type=Path, help="for some gigabytes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
