"""An hour at the simulated microscope: the guard's account of the dose, and the truth.

    python bench/control_dose.py [--minutes 60]

The clock is virtual: stage, view and beam move, the beam is blanked and let on, its
rate changes, read-backs come every 200 ms, and the guard dies every ten minutes. The
truth is the simulator's own count, which knows no cells. Exits with 1 if it lies
outside of what the calibration states, or above a budget.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from tests.dose_hour import (  # noqa: E402 - found by the lines above
    REGION_M,
    SAID,
    Hour,
    settings,
    work,
)

from scopeside.control.dose import DoseAccount  # noqa: E402

REGIONS = 6
UNCERTAINTY = 0.05
SIDE = 64  # 2.5 nm: cells are compared by the mean of their area


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    seconds = 60 * parser.parse_args().minutes
    console = Console(width=100)
    good = [counted(console, seconds, scale) for scale in (1.0, 0.96, 1.04)]
    good += [kept(console, seconds, takes_s) for takes_s in (0.02, 0.1)]
    sys.exit(0 if all(good) else 1)


def counted(console: Console, seconds: float, scale: float) -> bool:
    """Compare account and truth; the calibration says `scale` times the true rate."""
    hour, moves, took_s = _worked(seconds, scale)
    table = Table("", "true", "nominal", "deviation", "upper", "upper / (true · 1.1)")
    deviations, never_below = [], True
    for name, points in _regions():
        truth = np.array(hour.truth(points)["points_e_per_A2"])
        nominal, upper = np.array([hour.account.at(*point) for point in points]).T
        never_below &= bool((upper >= truth).all())
        deviations.append(_row(table, name, truth.mean(), nominal.mean(), upper.mean()))
    truth = hour.truth()["run_e_per_A2"]
    run = hour.account.status(hour.now_ns)["run_e_per_A2"]
    deviations.append(_row(table, "run", truth, *run))
    never_below &= run[1] >= truth
    console.print(
        f"\n{seconds / 60:g} min, {moves} moves, {hour.commands} commands, cells of "
        f"10 nm, fields of 200 nm; calibration {scale - 1:+.0%}, stated ± "
        f"{UNCERTAINTY:.0%}; e⁻/Å²; computed in {took_s:.1f} s"
    )
    console.print(table)
    within = max(abs(one) for one in deviations) <= UNCERTAINTY
    console.print(
        f"within the stated uncertainty: {_said(within)}; "
        f"upper never below the truth at any point: {_said(never_below)}"
    )
    return within and never_below


def kept(console: Console, seconds: float, takes_s: float) -> bool:
    """See that no budget is passed with a blank that takes so long."""
    budgets = {"budget_e_per_A2": 1500.0, "run_budget_e_per_A2": 8000.0, "down_s": 3.0}
    hour, moves, _ = _worked(seconds, 0.96, takes_s, **budgets)
    points = [
        point for _, points in _regions(half_m=200e-9, side=48) for point in points
    ]
    worst = max(hour.truth(points)["points_e_per_A2"])
    run = hour.truth()["run_e_per_A2"]
    slow = hour.account.status(hour.now_ns)["blank_s"]
    good = worst <= 1500 and run <= 8000 and slow == 0.1
    console.print(
        f"\nbudgets of 1500 (region) and 8000 (run) e⁻/Å², blanking takes "
        f"{takes_s * 1e3:g} of 100 ms, the guard dead for 2.5 of 3 s: {moves} moves, "
        f"{len(hour.blanks)} blanks, {len(hour.refused)} refusals; worst place "
        f"{worst:.1f}, run {run:.1f}; no budget passed: {_said(good)}"
    )
    return good


def _worked(
    seconds: float, scale: float, takes_s: float = 0.02, **budgets: Any
) -> tuple[Hour, int, float]:
    table = settings(calibration={**SAID, "scale": scale}, **budgets)
    hour = Hour(DoseAccount(table), takes_s)
    hour.read()
    began = time.perf_counter()
    moves = work(hour, seconds, table, regions=REGIONS)
    hour.read()
    return hour, moves, time.perf_counter() - began


def _regions(
    half_m: float = 80e-9, side: int = SIDE
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return points of each region, (y, x) in metres: middles of small squares."""
    offsets = ((np.arange(side) + 0.5) / side * 2 * half_m - half_m).tolist()
    return [
        (f"region {k}", [(y, k * REGION_M + x) for y in offsets for x in offsets])
        for k in range(REGIONS)
    ]


def _row(table: Table, name: str, truth: float, nominal: float, upper: float) -> float:
    deviation = nominal / truth - 1
    table.add_row(
        name,
        f"{truth:.1f}",
        f"{nominal:.1f}",
        f"{deviation:+.2%}",
        f"{upper:.1f}",
        f"{upper / truth / (1 + 2 * UNCERTAINTY):.3f}",
    )
    return float(deviation)


def _said(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    main()
