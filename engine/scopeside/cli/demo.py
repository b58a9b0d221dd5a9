"""``scopeside demo``: a simulated microscope and the whole engine beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from scopeside.cli.running import run_pipeline
from scopeside.dashboard.place import PORT, bokeh_scripts
from scopeside.errors import MissingExtraError
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
                {"kind": "com", "of": ["field_colour"]},
            ],
        },
        {
            "name": "view",
            "edge": "latest",
            "processor": [{"kind": "sum"}, {"kind": "frame", "sample": 32}],
        },
    ],
}
MOVIE: dict[str, Any] = {
    "detector": {
        "kind": "simulator",
        "mode": "movie",
        "shape": [256, 256],
        "fps": 20.0,
        "frames": 1200,
        "acquisitions": 0,
        "pause_s": 1.0,
        "dose_e_per_px": 8.0,
        "movie": {
            "nuclei": 8,
            "growth_px": 1.0,
            "largest_px": 12.0,
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
            "processor": [
                {"kind": "denoise", "coordinates": "specimen"},
                {"kind": "frame"},
            ],
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
    page: int | None = None,
    no_page: bool = False,
) -> int:
    """Run the demonstration and return the exit code.

    `page`: the port that was asked for; None: the usual one.
    """
    raw = MOVIE if movie else SCAN
    pipeline = Pipeline.from_raw(raw, folder=Path.cwd(), source="demo")
    what = "a liquid-cell movie" if movie else "4D-STEM scans of a polycrystal"
    console = Console(highlight=False)
    console.print(
        f"A simulated microscope takes {what}; the engine processes it live.\n"
        "In a second terminal: [bold]scopeside watch[/] (the images), "
        "[bold]scopeside status[/].  Ctrl-C ends it cleanly."
    )
    port = None if no_page else page
    if not no_page and page is None:
        try:
            bokeh_scripts()
            port = PORT
        except MissingExtraError as error:
            console.print(f"There is no page for a browser: {error}", markup=False)
    options = Options(
        seconds=seconds,
        report=report,
        results=results,
        page_port=port,
        page_port_is_asked=page is not None,
    )
    return run_pipeline(pipeline, options, headless=headless, pictures=True)
