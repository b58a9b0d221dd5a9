"""The options of ``scopeside export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    run: Annotated[
        Path,
        typer.Argument(help="The folder of the recorded run.", show_default=False),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings of the format: compression=none. "
            "scopeside list FORMAT shows them.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="hspy, zspy, nexus, zarr, tiff, npy, npz or mib."
        ),
    ] = None,
    results: Annotated[
        bool,
        typer.Option(
            "--results",
            help="Results and channels: images as .hspy, tables as CSV and Parquet.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File, or folder for it; by default the acquisition's id, here.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Only frames A up to, not including, B."),
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(min=1, help="Frames in a chunk of the file.")
    ] = None,
    absent: Annotated[
        Literal["fill", "skip"] | None,
        typer.Option(
            help="Absent frames: fill them in, or list the others. By default fill, "
            "and skip where only what surrounds events was recorded."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
) -> None:
    """Write a recorded run as a file that other programs open.

    Also while it is recorded: then what is there is written. Ctrl-C leaves nothing.
    Exit code 1: records of the run are damaged, and their frames absent.
    """
    from scopeside.cli.exporting import export_command

    kinds = [*([to] if to else []), *(["results"] if results else [])]
    raise typer.Exit(
        export_command(
            run,
            kinds,
            out,
            frames=frames,
            settings=settings or [],
            chunk=chunk,
            absent=absent,
            overwrite=overwrite,
        )
    )
