"""``scopeside run``: start, show, and say how it ended."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from scopeside.cli.progress import LiveView, PlainView
from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.preflight import output_problems, page_problems, problems
from scopeside.supervise.engine import Engine
from scopeside.supervise.session import Options, Outcome, run
from scopeside.supervise.status import Watch


def run_command(
    path: Path,
    *,
    acquisitions: int | None,
    seconds: float | None,
    report: Path | None,
    results: Path | None,
    headless: bool,
    pictures: bool,
    page: int | None = None,
) -> int:
    """Run the pipeline file at `path` and return the exit code."""
    options = Options(acquisitions, seconds, report, results, page_port=page)
    pipeline = Pipeline.load(path)
    return run_pipeline(pipeline, options, headless=headless, pictures=pictures)


def run_pipeline(
    pipeline: Pipeline, options: Options, *, headless: bool, pictures: bool = False
) -> int:
    """Run a pipeline with a view on it and return the exit code.

    `pictures`: the live view shows the results, too.

    Raises
    ------
    ConfigError
        If the preflight finds that it would not go well.
    """
    preflight(pipeline, options)
    console = Console(highlight=False)
    outcome = run_shown(
        console, pipeline, options, headless=headless, pictures=pictures
    )
    say_end(console, outcome, options)
    return outcome.code


def preflight(pipeline: Pipeline, options: Options) -> None:
    """Find what would not go well before anything is started.

    Raises
    ------
    ConfigError
        If there is anything.
    """
    found = [f"{pipeline.source}: {line}" for line in problems(pipeline)]
    found += output_problems(options.report, options.results)
    if options.page_port is not None and options.page_port_is_asked:
        found += page_problems(options.page_port, pipeline)
    if found:
        raise ConfigError("\n".join(found))


def run_shown(
    console: Console,
    pipeline: Pipeline,
    options: Options,
    *,
    headless: bool,
    pictures: bool = False,
    changes_closed: str = "",
) -> Outcome:
    """Run a pipeline that can be used, with a view on it.

    `changes_closed`: why nobody may change parameters meanwhile; empty: they may.
    """
    live = console.is_terminal and not headless
    view = LiveView(console, pictures=pictures) if live else PlainView(console)

    def observe(engine: Engine, watch: Watch) -> None:
        if changes_closed:
            engine.parameters.close(changes_closed)
        view.show(engine, watch)

    with view:
        outcome = run(pipeline, options, observe)
    view.last(outcome)
    return outcome


def say_end(console: Console, outcome: Outcome, options: Options) -> None:
    """Say where things were written, and how it ended."""
    if options.results is not None and outcome.report.get("results"):
        console.print(f"results in {options.results}", markup=False)
    if options.report is not None and options.report.exists():
        console.print(f"report in {options.report}", markup=False)
    if outcome.code == 0:
        console.print(f"[green]ended:[/] {outcome.reason}")
    else:
        sys.stdout.flush()
        Console(stderr=True, highlight=False).print(
            f"[bold red]ended with exit code {outcome.code}:[/]", end=" "
        )
        Console(stderr=True, highlight=False).print(
            outcome.reason, markup=False, soft_wrap=True
        )
