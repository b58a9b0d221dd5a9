"""``scopeside replay``: run a recording again, and hold it against itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scopeside.cli.running import preflight, run_shown, say_end
from scopeside.errors import ConfigError, RunError
from scopeside.pipeline import Pipeline
from scopeside.replay.decisions import constant_state, decisions_in
from scopeside.replay.part import place_of
from scopeside.replay.tables import (
    Asked,
    recorded_tables,
    refuse_to_command,
    replay_tables,
)
from scopeside.replay.verify import AUDIT, Verification, compare, damage_in
from scopeside.runs.run import Run
from scopeside.supervise.session import Options

CLOSED = "this is a replay: parameters change as they did when it was recorded"
MAX_DAMAGE = 20
_STYLES = {"same": "green", "different": "bold red", "not comparable": "bold yellow"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    run: Path
    pipeline: Path | None
    pace: str | None
    since: str | None
    until: str | None
    verify: bool
    headless: bool


def replay_command(wanted: Wanted, options: Options) -> int:
    """Play a recording; with `verify` say whether all came out the same.

    Returns 0, or 1 if something failed or is not the same.
    """
    _check(wanted)
    console = Console(highlight=False)
    with Run(wanted.run) as run, tempfile.TemporaryDirectory("-replay") as own:
        if run.growing:
            why = f"{run.folder} is being recorded, or its recorder was killed"
            if wanted.verify:
                raise RunError(f"{why}: there are no results to compare with yet")
            console.print(f"{why}: what is there is played", markup=False)
        pipeline = _pipeline(wanted, run, Path(own) / AUDIT, console)
        if wanted.verify:
            return _verify(console, run, pipeline, wanted, options, Path(own))
        preflight(pipeline, options)
        closed = "" if wanted.pipeline else CLOSED
        outcome = run_shown(
            console, pipeline, options, headless=wanted.headless, changes_closed=closed
        )
        say_end(console, outcome, options)
        return outcome.code


def _check(wanted: Wanted) -> None:
    if not wanted.verify:
        return
    if wanted.since is not None or wanted.until is not None:
        raise ConfigError("--verify: the results stand on all frames, not on a part")
    if wanted.pipeline is not None:
        raise ConfigError(
            "--verify: what comes of another pipeline is not what was recorded; leave "
            "out --pipeline"
        )


def _pipeline(wanted: Wanted, run: Run, audit: Path, console: Console) -> Pipeline:
    """Return the pipeline of the replay, checked; say what was left out."""
    asked = Asked(
        run.folder,
        wanted.pace or ("max" if wanted.verify else "real"),
        place_of(wanted.since),
        place_of(wanted.until),
        "all" if wanted.verify else "none" if wanted.pipeline else "changes",
    )
    if wanted.pipeline is None:
        raw: Mapping[str, Any] = recorded_tables(run.manifest)
        folder, source = _folder(run), f"{run.folder}/manifest.json"
    else:
        loaded = Pipeline.load(wanted.pipeline)
        raw, folder, source = loaded.raw, loaded.folder, loaded.source
        refuse_to_command(raw, source)
    made = replay_tables(raw, asked, audit=audit, state=_state(run))
    for note in made.notes:
        console.print(f"[yellow]replay[/] {escape(note)}", soft_wrap=True)
    return Pipeline.from_raw(made.raw, folder=folder, source=source)


def _folder(run: Run) -> Path:
    """Return the folder from which the recorded pipeline takes its paths."""
    folder = Path(run.manifest.get("pipeline_folder") or run.folder)
    return folder if folder.is_dir() else run.folder.resolve()


def _state(run: Run) -> Mapping[str, Any] | None:
    """Return what the microscope was set to, where that never changed."""
    path = run.folder / AUDIT
    if not path.is_file():
        return None
    return constant_state(decisions_in(path, run.acquisition.id))


# -- verification -------------------------------------------------------------------


def _verify(
    console: Console,
    run: Run,
    pipeline: Pipeline,
    wanted: Wanted,
    options: Options,
    own: Path,
) -> int:
    damage = damage_in(run)
    for line in damage[:MAX_DAMAGE]:
        console.print(f"[bold red]damaged[/] {escape(line)}", soft_wrap=True)
    if len(damage) > MAX_DAMAGE:
        console.print(f"… and {len(damage) - MAX_DAMAGE} more")
    if damage:
        # What stands on damaged frames cannot come out the same.
        done = Verification(damage, hints=["without --verify the rest is played"])
        _report(options.report, run, done, {})
        return _say(console, done)
    options = replace(options, results=options.results or own / "results")
    preflight(pipeline, options)
    outcome = run_shown(
        console, pipeline, options, headless=wanted.headless, changes_closed=CLOSED
    )
    assert options.results is not None
    done = compare(run, outcome.report, options.results, own / AUDIT)
    _report(options.report, run, done, outcome.report)
    console.print(table(done))
    return _say(console, done)


def _say(console: Console, done: Verification) -> int:
    """Print the last lines and return the exit code."""
    if not done.first:
        console.print("[green]identical:[/] every result is as it was recorded")
        return 0
    for hint in done.hints:
        console.print(f"[yellow]hint[/] {escape(hint)}", soft_wrap=True)
    last = Text.assemble(("not identical: ", "bold red"), done.first)
    console.print(last, soft_wrap=True)
    return 1


def table(done: Verification) -> Table:
    """Return what was compared, line by line."""
    found = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("result", "", "why"):
        found.add_column(name, overflow="fold")
    for line in done.lines:
        style = _STYLES.get(line.verdict, "")
        found.add_row(Text(line.name), Text(line.verdict, style), Text(line.why))
    return found


def _report(
    path: Path | None, run: Run, done: Verification, report: Mapping[str, Any]
) -> None:
    """Write the report of the replay, with what came of the verification."""
    if path is None:
        return
    said = {"code": int(bool(done.first)), "reason": done.first or "identical"}
    found = {**report, "replay": {"run": str(run.folder), **done.to_dict()}}
    text = json.dumps({**found, "exit": said}, indent=2) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"the report could not be written: {error}") from error
