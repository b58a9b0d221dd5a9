"""The command line: all commands, and what becomes of an error.

Each command does its imports itself, so that --help is quick.
"""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated, NoReturn

import typer

from scopeside.cli import feedback, live, start
from scopeside.cli.bluesky import bluesky_app
from scopeside.cli.export import export
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
RECORDINGS = "Recordings"
OTHER_PROGRAMS = "Other programs"

start.add_to(app)
live.add_to(app)
app.command(rich_help_panel=RECORDINGS)(replay)
app.command(rich_help_panel=RECORDINGS)(export)
app.add_typer(runs_app, name="runs", rich_help_panel=RECORDINGS)
feedback.add_to(app)
app.add_typer(keys_app, name="keys", rich_help_panel=OTHER_PROGRAMS)
app.add_typer(bluesky_app, name="bluesky", rich_help_panel=OTHER_PROGRAMS)


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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one clear message and an exit code."""
    atexit.register(gc.freeze)  # what was loaded is not looked through once more
    try:
        app(arguments)
    except (ConfigError, EngineNotFoundError) as error:
        _fail(error, 2)
    except ScopesideError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(error: object, code: int) -> NoReturn:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    for line in str(error).splitlines():
        console.print(f"[bold red]error[/] {escape(line)}", soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
