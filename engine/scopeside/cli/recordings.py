"""``scopeside runs``: which there are, what is in them, whether they are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

runs_app = typer.Typer(
    help="Recorded runs: list, show, verify, recover.", no_args_is_help=False
)

Which = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run folder, or its name in ./runs.", show_default=False
    ),
]
Several = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Run folders, or their names in ./runs.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="All of it, as JSON.")]
Folder = Annotated[
    Path, typer.Argument(help="The folder of runs.", show_default="./runs")
]


@runs_app.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from scopeside.cli.recorded import list_command

        raise typer.Exit(list_command(Path("runs"), as_json=False))


@runs_app.command(name="list")
def list_(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs in a folder: when, what, how many frames, state, gaps, events."""
    from scopeside.cli.recorded import list_command

    raise typer.Exit(list_command(folder, as_json=as_json))


@runs_app.command()
def show(run: Which, as_json: AsJson = False) -> None:
    """Say all that is known of a run."""
    from scopeside.cli.recorded import show_command

    raise typer.Exit(show_command(run, as_json=as_json))


@runs_app.command()
def verify(runs: Several) -> None:
    """Read every byte of runs and name what is not as it was written.

    Exit code 1: something is damaged.
    """
    from scopeside.cli.recorded import verify_command

    raise typer.Exit(verify_command(runs))


@runs_app.command()
def recover(runs: Several) -> None:
    """Restore runs whose recorder was killed: all, up to the last good record.

    A run that is being written is left alone, and so are the frames of one that was
    closed. Exit code 1: one could not be restored.
    """
    from scopeside.cli.recorded import recover_command

    raise typer.Exit(recover_command(runs))
