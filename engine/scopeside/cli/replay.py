"""The command ``scopeside replay``; what it does is in `scopeside.cli.replaying`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    run: Annotated[
        Path,
        typer.Argument(help="The folder of a recorded run.", show_default=False),
    ],
    pipeline: Annotated[
        Path | None,
        typer.Option(help="Another pipeline file; by default the recorded one."),
    ] = None,
    pace: Annotated[
        str | None,
        typer.Option(
            help="real, by the time stamps; max, as fast as it goes; or 2x, 0.5x …  "
            "By default real, with --verify max.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="T|event:N", help="Begin so many s after the first frame."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="T|event:N", help="End so many s after the first frame."
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hold all results against those recorded."),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after so many seconds of frames.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write ledger, digests and comparison here, as JSON."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Write the last value of each result into this folder."),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Plain lines instead of a live view.")
    ] = False,
) -> None:
    """Run a recording again, as if its detector sent it.

    Same batches, same order, same time stamps; parameters change where they did. No
    microscope is ever commanded by a replay.
    Exit code 1: something failed; with --verify also: a result or decision is not the
    same, or the recording is damaged. The last line names the first difference.
    """
    from scopeside.cli.replaying import Wanted, replay_command
    from scopeside.supervise.session import Options

    wanted = Wanted(run, pipeline, pace, since, until, verify, headless)
    raise typer.Exit(replay_command(wanted, Options(None, seconds, report, results)))
