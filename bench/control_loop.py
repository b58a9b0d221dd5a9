"""How still `hold_still` holds, in the simulated microscope with the real guard.

    python bench/control_loop.py [--frames 500]

In frames' time, on one thread: frame → drift → policy → guard → microscope. Residuals
are of the true content, rms after settling, nm, at 0.4 nm a pixel. "late results": what
a frame shows is known so many frames later; "slow instrument": a command takes so many
frames, and none can be given meanwhile. Relative corrections are what must not be done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT),
    *(str(ROOT / p) for p in ("engine", "adapters", "processors")),
]

from tests.processors.drift_gate import Guarded  # noqa: E402 - found by the lines above
from tests.processors.drift_loop import (  # noqa: E402
    Course,
    Naive,
    Setting,
    run,
    steady,
)

ALLOWED_NM = {0: 1.5, 1: 3.0, 2: 5.0, 4: 8.0}
_SETTLED = 60


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    frames = parser.parse_args().frames
    began = time.perf_counter()
    _latencies(frames)
    _doses(min(frames, 200))
    _troubles()
    print(f"\n{time.perf_counter() - began:.0f} s")


def _latencies(frames: int) -> None:
    _head(
        f"Drift of 1 nm a frame, {frames} frames of 128² at 10 e⁻/px",
        ("frames of latency", "allowed", "no lead", "lead", "largest", "relative"),
    )
    for late, words in (("result", "late results"), ("instrument", "slow instrument")):
        for delay, allowed in ALLOWED_NM.items():
            setting = Setting(steady(frames), delay=delay, late=late)
            plain, led = _held(setting, lead_frames=0), _held(setting)
            naive = run(Setting(steady(120), delay=delay, late="result"), Naive)
            _row(
                f"{delay}, {words}",
                f"≤ {allowed}",
                *_rms([plain, led]),
                f"{led.largest_nm(_SETTLED):.2f}",
                f"{naive.rms_nm(_SETTLED):.1f}" if late == "result" else "",
            )


def _doses(frames: int) -> None:
    _head(
        f"Fewer electrons, 2 frames of latency, {frames} frames of 256²",
        ("e⁻/px", "min_confidence", "no lead", "lead", "still", "still, lead"),
    )
    for dose, sure in ((1, 0.2), (2, 0.5), (3, 0.5), (5, 0.5), (10, 0.5)):
        moving = Setting(steady(frames, still=40), delay=2, dose=dose, side=256)
        resting = Setting(np.zeros((frames, 2)), delay=2, dose=dose, side=256)
        courses = [
            _held(one, min_confidence=sure, **lead)
            for one in (moving, resting)
            for lead in ({"lead_frames": 0.0}, {})
        ]
        _row(f"{dose}", f"{sure}", *_rms(courses, first=80))


def _troubles() -> None:
    _head(
        "What may happen, 2 frames of latency, 128² at 10 e⁻/px",
        ("", "", "no lead", "lead", "largest", "wishes"),
    )
    there = steady(80)
    turn = np.concatenate([there, there[::-1]])
    angle = np.arange(160)[:, None] / 16
    circle = 16 * np.hstack([np.sin(angle), np.cos(angle)])
    walk = np.cumsum(np.random.default_rng(0).normal(0, 0.3, (160, 2)), axis=0)
    jump = (np.arange(160) >= 80)[:, None] * np.array([8.0, 6.0])
    lost, fog = frozenset(range(70, 160, 3)), frozenset(range(70, 80))
    cases = {
        "turns round": Setting(turn, delay=2),
        "in a circle": Setting(circle, delay=2),
        "random walk, 0.3 nm": Setting(walk, delay=2),
        "commands in mid-exposure": Setting(steady(160), delay=1, mixed=True),
        "every third result lost": Setting(steady(160), delay=2, lost=lost),
        "10 frames of fog": Setting(steady(160), delay=2, fogged=fog),
        "jump of 10 nm": Setting(steady(160) + jump, delay=2),
    }
    for words, setting in cases.items():
        plain, led = _held(setting, lead_frames=0), _held(setting)
        largest = f"{led.largest_nm(_SETTLED):.2f}"
        _row(words, "", *_rms([plain, led]), largest, f"{len(led.asked)}")


def _held(setting: Setting, **params: float) -> Course:
    return run(setting, gate=Guarded(setting), **params)


def _rms(courses: Iterable[Course], first: int = _SETTLED) -> list[str]:
    return [f"{course.rms_nm(first):.2f}" for course in courses]


def _head(title: str, columns: tuple[str, ...]) -> None:
    print(f"\n{title}\n")
    _row(*columns)


def _row(*cells: str) -> None:
    print(f"{cells[0]:<26}" + "".join(f"{cell:>16}" for cell in cells[1:]))


if __name__ == "__main__":
    main()
