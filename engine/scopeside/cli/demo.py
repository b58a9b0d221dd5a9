"""``scopeside demo``: a simulated microscope and the whole engine beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from scopeside.cli.running import run_pipeline
from scopeside.pipeline import Pipeline
from scopeside.supervise.session import Options

SCAN: dict[str, Any] = {
    "detector": {
        "kind": "simulator",
        "mode": "scan4d",
        "fps": 2000.0,
        "scan": [128, 128],
        "acquisitions": 0,
        "pause_s": 1.0,
    },
    "chain": [
        {
            "name": "stem",
            "processor": [
                {
                    "kind": "virtual",
                    "detectors": {
                        "bf": {"disk": [63.5, 63.5, 7]},
                        "adf": {"annulus": [63.5, 63.5, 12, 40]},
                        "right": {"segment": [63.5, 63.5, 0, 10, -45, 45]},
                    },
                },
            ],
        },
        {"name": "view", "edge": "latest", "processor": [{"kind": "sum"}]},
    ],
}
MOVIE: dict[str, Any] = {
    "detector": {
        "kind": "simulator",
        "mode": "movie",
        "shape": [384, 384],
        "fps": 20.0,
        "frames": 1200,
        "acquisitions": 0,
        "pause_s": 1.0,
        "dose_e_per_px": 8.0,
        "movie": {
            "nuclei": 10,
            "growth_px": 1.0,
            "largest_px": 14.0,
            "drift_px": [0.03, -0.05],
            "jumps": 1,
        },
    },
    "chain": [
        {
            "name": "movie",
            "processor": [
                {"kind": "dose"},
                {"kind": "drift"},
                {"kind": "nucleation", "min_radius_px": 3.0, "alarms_per_hour": 20.0},
                {"kind": "track", "max_radius_px": 12.0},
                {"kind": "kinetics"},
            ],
        },
        {
            "name": "view",
            "edge": "latest",
            "processor": [{"kind": "denoise", "coordinates": "specimen"}],
        },
    ],
}


def demo_command(
    *,
    movie: bool,
    seconds: float | None,
    report: Path | None,
    results: Path | None,
    headless: bool,
) -> int:
    """Run the demonstration and return the exit code."""
    raw = MOVIE if movie else SCAN
    pipeline = Pipeline.from_raw(raw, folder=Path.cwd(), source="demo")
    what = "a liquid-cell movie" if movie else "4D-STEM scans of a polycrystal"
    Console(highlight=False).print(
        f"A simulated microscope takes {what}; the engine processes it live.\n"
        "In a second terminal: [bold]scopeside watch[/] (the images), "
        "[bold]scopeside status[/].  Ctrl-C ends it cleanly."
    )
    options = Options(seconds=seconds, report=report, results=results)
    return run_pipeline(pipeline, options, headless=headless, pictures=True)
