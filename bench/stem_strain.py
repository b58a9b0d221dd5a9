"""How fast disks and strain are found, how exactly, and beside py4DSTEM and blobfinder.

    python bench/stem_strain.py [--seconds 2]

Rates are those of one thread, in thread CPU time. "indexed": the lattice is known, as
it is but for the first 32 frames of a scan. "first map": all of it, from an object that
has seen nothing to the strain of the first 32 frames; kernels are compiled, nothing is
known of the lattice. The pattern is that of the data set nbed_strain where it is there
(SCOPESIDE_DATA), else one simulated like it; that of 300,000 electrons is simulated.
The peers find disks in the same frames; lattice and strain are not in their rates.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from tests import nbed  # noqa: E402 - found by the lines above
from tests.peers import disk_peers as peers  # noqa: E402

import scopeside  # noqa: E402
from scopeside.acquisition import Acquisition  # noqa: E402
from scopeside.batch import Batch  # noqa: E402
from scopeside.scan import Scan  # noqa: E402
from scopeside_processors.stem.disks import Disks  # noqa: E402
from scopeside_processors.stem.strain import Strain  # noqa: E402

DATA = Path(os.environ.get("SCOPESIDE_DATA", ROOT.parent / "shared/data"))
RADIUS, EDGE = 5.0, 0.6
FIRST = 32
BATCH = 32
"""Frames: a batch of 1 MiB."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    size: str
    rate: float
    unit: str
    ratio: float
    against: str
    target: str


@dataclass(frozen=True)
class Patterns:
    """Frames (rows, columns, 128, 128), strain (rows, columns, 4), centre (2,)."""

    frames: np.ndarray
    strain: np.ndarray
    centre: np.ndarray


def few() -> Patterns:
    """Return patterns of 30,000 electrons."""
    path = DATA / "stem/simulated/nbed_strain.npz"
    if not path.exists():
        scan = nbed.scan((32, 32), electrons=30_000)
        return Patterns(scan.frames, scan.strain, scan.centre.mean(axis=(0, 1)))
    with np.load(path) as given:
        truth = [given[name] for name in ("exx", "eyy", "exy", "theta")]
        centre = np.array([given[name].mean() for name in ("cy", "cx")])
        return Patterns(given["counts"], np.stack(truth, axis=-1), centre)


def many() -> Patterns:
    """Return patterns of 300,000 electrons."""
    scan = nbed.scan((24, 24), electrons=300_000, seed=1)
    return Patterns(scan.frames, scan.strain, scan.centre.mean(axis=(0, 1)))


def acquisition_of(frames: np.ndarray) -> Acquisition:
    """Return the acquisition that frames of a scan are of."""
    return Acquisition(
        "bench", frames.shape[2:], frames.dtype, kind="scan4d",
        scan=Scan(frames.shape[:2]),
    )  # fmt: skip


def batches_of(frames: np.ndarray, start: int = 0) -> list[Batch]:
    """Return the frames from `start` on, in batches."""
    flat = frames.reshape(-1, *frames.shape[2:])
    index = np.arange(len(flat))
    cuts = range(start, len(flat), BATCH)
    return [Batch(flat[i : i + BATCH], *[index[i : i + BATCH]] * 2) for i in cuts]


def seconds_of(run: Callable[[], object]) -> float:
    """Return the thread's CPU time."""
    began = time.thread_time()
    run()
    return time.thread_time() - began


def best(make: Callable[[], Callable[[], object]], seconds: float) -> float:
    """Return the least time of what `make` gives, made anew each time."""
    least, until = math.inf, time.monotonic() + seconds
    while time.monotonic() < until:
        least = min(least, seconds_of(make()))
    return least


def strain_rate(patterns: Patterns, seconds: float) -> float:
    """Return patterns a second once the lattice is known."""
    about, params = acquisition_of(patterns.frames), Strain.Params()
    rest = batches_of(patterns.frames, FIRST)

    def make() -> Callable[[], object]:
        strain = Strain(about, params)
        strain.process(batches_of(patterns.frames)[0])
        return lambda: [strain.process(batch) for batch in rest]

    number = sum(map(len, rest))
    return number / best(make, seconds)


def first_map(patterns: Patterns, seconds: float) -> float:
    """Return the time until the first map, ms, with nothing known."""
    about, first = acquisition_of(patterns.frames), batches_of(patterns.frames)[0]

    def make() -> Callable[[], object]:
        def run() -> object:
            strain = Strain(about, Strain.Params())
            strain.process(first)
            return list(strain.results())

        return run

    return 1e3 * best(make, seconds)


def disks_rate(patterns: Patterns, seconds: float, **params: object) -> float:
    """Return patterns a second of `disks`."""
    about = acquisition_of(patterns.frames)
    checked = Disks.Params(disk_radius_px=RADIUS, **params)
    some = batches_of(patterns.frames)[:8]

    def make() -> Callable[[], object]:
        disks = Disks(about, checked)
        return lambda: [disks.process(batch) for batch in some]

    return sum(map(len, some)) / best(make, seconds)


def errors(patterns: Patterns) -> dict[str, float]:
    """Return the rms error of each strain, against the reference that is known."""
    found = scopeside.apply(
        "strain", patterns.frames, reference_lattice=nbed.REFERENCE.tolist(),
        disk_radius_px=RADIUS,
    )  # fmt: skip
    return {
        result.name: float(np.sqrt(np.mean((result.data - truth) ** 2)))
        for result, truth in zip(
            found, np.moveaxis(patterns.strain, -1, 0), strict=True
        )
    }


def peer_rates(patterns: Patterns) -> dict[str, float]:
    """Return patterns a second of those that are installed."""
    frames = patterns.frames[:4, :16]
    number = frames.shape[0] * frames.shape[1]
    found = {}
    if importlib.util.find_spec("libertem_blobfinder") is not None:
        orders = np.mgrid[-2:3, -3:4].reshape(2, -1).T
        expected = orders @ nbed.REFERENCE + patterns.centre
        held = ((expected > 11) & (expected < 116)).all(axis=1)
        _, spent = peers.blobfinder(frames, RADIUS, expected[held])
        found["blobfinder"] = number / spent
    if peers.PY4DSTEM.exists():
        with tempfile.TemporaryDirectory() as folder:
            _, spent = peers.py4dstem(frames, RADIUS, EDGE, Path(folder))
        found["py4DSTEM multicorr"] = number / spent
    return found


def beside(
    name: str, size: str, rate: float, rivals: dict[str, float], target: str = ""
) -> list[Row]:
    """Return a row for each rival, or one if there is none."""
    unit, last = "patterns/s", (target, *[""] * len(rivals))
    if not rivals:
        return [Row(name, size, rate, unit, math.nan, "", target)]
    return [
        Row(name, size, rate, unit, rate / theirs, who, wanted)
        for (who, theirs), wanted in zip(rivals.items(), last, strict=False)
    ]


def error_rows(label: str, patterns: Patterns, target: str) -> list[Row]:
    """Return the error of each strain, millionths."""
    return [
        Row(
            f"{name}, error", label, 1e6 * error,
            "µrad rms" if name == "rotation" else "1e-6 rms",
            math.nan, "the truth", target if name == "exx" else "",
        )
        for name, error in errors(patterns).items()
    ]  # fmt: skip


def strain_rows(seconds: float) -> list[Row]:
    """Return the rows of the table."""
    patterns, size = few(), "128² u16, about 32 disks"
    rivals = peer_rates(patterns)
    rate = strain_rate(patterns, seconds)
    rows = beside("disks → strain, indexed", size, rate, rivals, "≥ 30,000")
    wait = first_map(patterns, seconds)
    said = f"{FIRST} frames"
    rows.append(Row("strain, first map, blind", said, wait, "ms", math.nan, "", ""))
    known = {"lattice": nbed.REFERENCE.tolist(), "centre": tuple(patterns.centre)}
    rate = disks_rate(patterns, seconds, **known)
    rows += beside("disks, on a lattice", size, rate, rivals)
    rate = disks_rate(patterns, seconds)
    rows += beside("disks, everywhere", size, rate, rivals)
    rows += error_rows("30,000 electrons", patterns, "≤ 1,600")
    return rows + error_rows("300,000 electrons", many(), "≤ 600")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    table = Table("what", "size", "rate", "unit", "ratio", "against", "target")
    for row in strain_rows(parser.parse_args().seconds):
        ratio = "" if math.isnan(row.ratio) else f"{row.ratio:.1f}"
        table.add_row(
            row.name, row.size, f"{row.rate:,.0f}", row.unit, ratio, row.against,
            row.target,
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
