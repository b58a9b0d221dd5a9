"""The commands that look into an engine while it runs, and change it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PANEL = "While an engine runs"

RunFolder = Annotated[
    Path | None,
    typer.Option(
        help="The engine's run folder; by default the one started last.",
        show_default=False,
    ),
]


def watch(
    endpoint: Annotated[
        str | None,
        typer.Argument(
            help="Where results are published; by default the engine that runs here.",
            show_default=False,
        ),
    ] = None,
    topic: Annotated[
        str, typer.Option(help="Only topics that begin so: acquisition/processor/name.")
    ] = "",
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after so many seconds.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="NAME.key_secret, for the results of another machine."),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Plain lines instead of a live view.")
    ] = False,
) -> None:
    """Show live results in the terminal: every image small, with its age."""
    from scopeside.cli.watching import watch_command

    raise typer.Exit(
        watch_command(
            endpoint, topic=topic, seconds=seconds, headless=headless, keys=keys
        )
    )


def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it, as JSON.")
    ] = False,
) -> None:
    """Say how the engine that runs here is: processes, edges, ledger so far."""
    from scopeside.cli.asking import status_command

    raise typer.Exit(status_command(as_json=as_json))


def set_(
    processor: Annotated[
        str, typer.Argument(metavar="CHAIN.PROCESSOR", help="Whose parameters.")
    ],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...",
            help="New values, as in a pipeline file: detectors.bf.disk=[128,128,20]. "
            "What is not named stays.",
        ),
    ],
    run: RunFolder = None,
) -> None:
    """Change parameters of a processor while the engine runs.

    The answer says from which frame on they hold. A value that is not allowed is
    refused, and nothing changes.
    """
    from scopeside.cli.setting import set_command

    raise typer.Exit(set_command(processor, settings, run))


def keep(
    before: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="So long before now, s; by default record.before_s.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="So long after now, s; by default record.after_s.",
            show_default=False,
        ),
    ] = None,
    note: Annotated[
        str, typer.Option(help="Stands with the frames in the manifest.")
    ] = "",
    run: RunFolder = None,
) -> None:
    """Record what surrounds this moment, where only what surrounds events is recorded.

    As if a processor had told of an event at the newest frame. What the memory does not
    hold any more cannot be kept.
    """
    from scopeside.cli.keeping import keep_command

    raise typer.Exit(keep_command(before, after, note, run))


def calibrate(
    what: Annotated[
        Literal["shift"],
        typer.Argument(help="How the picture moves with a shifter or the stage."),
    ],
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            help="The pipeline file that the engine runs; by default as it says.",
            show_default=False,
        ),
    ] = None,
    actuator: Annotated[
        Literal["image_shift", "beam_shift", "stage"] | None,
        typer.Option(help="What is moved; by default the shifter of control.view."),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(min=1e-13, help="How far, m; by default as limits and field say."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Rounds of 4 steps.")] = 2,
    frames: Annotated[int, typer.Option(min=1, help="Frames in each place.")] = 10,
    settle: Annotated[
        float | None,
        typer.Option(min=0, help="After a move nothing is believed for so long, s."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The file; by default that of control.view."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run folder of the engine; by default the only one with a guard.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure how the picture moves with a shifter, while the engine runs.

    The engine needs a processor drift, and a guard that is not armed. Small known
    steps are made through the guard, within its limits; in the end, and after
    Ctrl-C, it goes back to where it began.

    Exit code 1: the fit is not good enough, and nothing was written.
    """
    del what  # there is one thing so far
    from scopeside.cli.calibrating import Asked, calibrate_command

    asked = Asked(actuator, step, repeats, frames, settle, to)
    raise typer.Exit(calibrate_command(asked, pipeline, run))


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=PANEL)(watch)
    app.command(rich_help_panel=PANEL)(status)
    app.command(name="set", rich_help_panel=PANEL)(set_)
    app.command(rich_help_panel=PANEL)(keep)
    app.command(rich_help_panel=PANEL)(calibrate)
