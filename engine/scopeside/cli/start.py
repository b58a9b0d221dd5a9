"""The commands that start something: an engine, a page, a simulated detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scopeside.errors import ConfigError

PANEL = "Start"

PipelineFile = Annotated[
    Path, typer.Argument(help="The pipeline file (TOML).", show_default=False)
]
Headless = Annotated[
    bool, typer.Option("--headless", help="Plain lines instead of a live view.")
]
Report = Annotated[
    Path | None,
    typer.Option(help="Write ledger, rates, latency and digests here, as JSON."),
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Write the last value of each result into this folder, as "
        "<chain>.<processor>.<name>.npz."
    ),
]
Acquisitions = Annotated[
    int | None, typer.Option(min=1, help="End after so many acquisitions.")
]
Seconds = Annotated[
    float | None, typer.Option(min=0.1, help="End after so many seconds of frames.")
]
AskedPage = Annotated[
    int | None,
    typer.Option(
        "--page",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve the page at this port of 127.0.0.1 (usual: 8765; 0: any).",
        show_default=False,
    ),
]


def demo(
    scan: Annotated[
        bool, typer.Option("--scan", help="A 4D-STEM scan (the default).")
    ] = False,
    movie: Annotated[
        bool, typer.Option("--movie", help="A liquid-cell movie instead.")
    ] = False,
    page: AskedPage = None,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="No page for a browser.")
    ] = False,
    seconds: Seconds = None,
    report: Report = None,
    results: Results = None,
    headless: Headless = False,
) -> None:
    """Start a simulated microscope and the whole engine beside it.

    It needs no file and no instrument. While it runs, open the page in a browser: its
    address is printed. Or try in a second terminal: scopeside watch, scopeside status.
    """
    if scan and movie:
        raise ConfigError("--scan and --movie: choose one")
    if no_page and page is not None:
        raise ConfigError("--page and --no-page: choose one")
    from scopeside.cli.demo import demo_command

    raise typer.Exit(
        demo_command(
            movie=movie,
            seconds=seconds,
            report=report,
            results=results,
            headless=headless,
            page=page,
            no_page=no_page,
        )
    )


def run(
    pipeline: PipelineFile,
    acquisitions: Acquisitions = None,
    seconds: Seconds = None,
    report: Report = None,
    results: Results = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show the results in the live view.")
    ] = False,
    page: AskedPage = None,
    headless: Headless = False,
) -> None:
    """Run a pipeline: take frames from its detector and process them live.

    Ctrl-C ends it cleanly: what was received is processed, the account is closed.
    Exit code 0: complete; 1: something failed, named in the last line; 2: the
    pipeline cannot be used; 130/143: an acquisition was cut short by Ctrl-C/SIGTERM.
    """
    from scopeside.cli.running import run_command

    raise typer.Exit(
        run_command(
            pipeline,
            acquisitions=acquisitions,
            seconds=seconds,
            report=report,
            results=results,
            headless=headless,
            pictures=pictures,
            page=page,
        )
    )


def check(pipeline: PipelineFile) -> None:
    """Check a pipeline file without starting it.

    Everything that can be known before is looked at: keys and values, plug-ins,
    files, ports, shared memory, the GPU. Exit code 2 if something is wrong.
    """
    from scopeside.cli.checking import check_command

    raise typer.Exit(check_command(pipeline))


def page(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Of 127.0.0.1; by default 8765, or a free one if that is taken.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Follow this engine only, by its run folder; by default the one that "
            "was started last, and the next.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        bool,
        typer.Option(
            "--address", help="Print the address of the page that runs, and end."
        ),
    ] = False,
) -> None:
    """Serve the page: live images, steering and feedback in a browser.

    It follows the engine of yours that was started last, and stays when that ends:
    tabs show the next one by themselves. Ctrl-C ends it, and no engine minds.

    The address that is printed holds a token: with it a tab can change things, without
    it (cut off what follows #) it can only look. Only this machine can connect. From
    another one: ssh -L 8765:127.0.0.1:8765 THIS_MACHINE there, with the same port on
    both sides, then the same address in its browser.
    """
    from scopeside.cli.paging import page_command, say_address

    raise typer.Exit(say_address(run) if address else page_command(port, run))


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="Show the parameters of this one.", show_default=False),
    ] = None,
) -> None:
    """List the detectors, processors, exports and all other plug-ins there are."""
    from scopeside.cli.listing import list_command

    raise typer.Exit(list_command(kind))


def simulate(
    kind: Annotated[str, typer.Argument(help="Which one: scopeside list names them.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Its settings, as in a pipeline file: fps=1000 scan=[64,64]. "
            "scopeside list KIND shows them.",
        ),
    ] = None,
) -> None:
    """Play a detector on its real protocol, for an engine that runs elsewhere."""
    from scopeside.cli.simulating import simulate_command

    raise typer.Exit(simulate_command(kind, settings or []))


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (demo, run, check, page):
        app.command(rich_help_panel=PANEL)(command)
    app.command(name="list", rich_help_panel=PANEL)(list_)
    app.command(rich_help_panel=PANEL)(simulate)
