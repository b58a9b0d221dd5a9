"""The commands of scopeside. Each does its imports itself, so that --help is quick."""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from scopeside.cli import export, feedback
from scopeside.cli.bluesky import bluesky_app
from scopeside.cli.keys import keys_app
from scopeside.cli.recordings import runs_app
from scopeside.cli.replay import replay
from scopeside.errors import ConfigError, EngineNotFoundError, ScopesideError

app = typer.Typer(
    help="A real-time streaming engine that runs beside an electron microscope.\n\n"
    "Begin with [bold]scopeside demo[/bold]: a simulated microscope, processed live.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(replay)
app.add_typer(keys_app, name="keys")
app.add_typer(runs_app, name="runs")
app.add_typer(bluesky_app, name="bluesky")

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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def check(pipeline: PipelineFile) -> None:
    """Check a pipeline file without starting it.

    Everything that can be known before is looked at: keys and values, plug-ins,
    files, ports, shared memory, the GPU. Exit code 2 if something is wrong.
    """
    from scopeside.cli.checking import check_command

    raise typer.Exit(check_command(pipeline))


@app.command()
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
    headless: Headless = False,
) -> None:
    """Show live results in the terminal: every image small, with its age."""
    from scopeside.cli.watching import watch_command

    raise typer.Exit(
        watch_command(
            endpoint, topic=topic, seconds=seconds, headless=headless, keys=keys
        )
    )


@app.command()
def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it, as JSON.")
    ] = False,
) -> None:
    """Say how the engine that runs here is: processes, edges, ledger so far."""
    from scopeside.cli.asking import status_command

    raise typer.Exit(status_command(as_json=as_json))


@app.command(name="set")
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
    run: Annotated[
        Path | None,
        typer.Option(
            help="The engine's run folder; by default the one started last.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change parameters of a processor while the engine runs.

    The answer says from which frame on they hold. A value that is not allowed is
    refused, and nothing changes.
    """
    from scopeside.cli.setting import set_command

    raise typer.Exit(set_command(processor, settings, run))


@app.command()
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
    run: Annotated[
        Path | None,
        typer.Option(
            help="The engine's run folder; by default the one started last.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Record what surrounds this moment, where only what surrounds events is recorded.

    As if a processor had told of an event at the newest frame. What the memory does not
    hold any more cannot be kept.
    """
    from scopeside.cli.keeping import keep_command

    raise typer.Exit(keep_command(before, after, note, run))


@app.command()
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


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="Show the parameters of this one.", show_default=False),
    ] = None,
) -> None:
    """List the detectors, processors, exports and all other plug-ins there are."""
    from scopeside.cli.listing import list_command

    raise typer.Exit(list_command(kind))


@app.command()
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


export.add_to(app)
feedback.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from scopeside import __version__

        typer.echo(f"scopeside {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; errors become one clear message and an exit code."""
    atexit.register(gc.freeze)  # what was loaded is not looked through once more
    try:
        app(arguments)
    except (ConfigError, EngineNotFoundError) as error:
        return _fail(error, 2)
    except ScopesideError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(error: object, code: int) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    for line in str(error).splitlines():
        console.print(f"[bold red]error[/] {_escape(line)}", soft_wrap=True)
    sys.exit(code)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
