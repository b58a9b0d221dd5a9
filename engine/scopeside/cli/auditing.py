"""``scopeside audit``: verify, show, explain."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scopeside.control.asking import guarded, status
from scopeside.control.audit_check import Checked, check
from scopeside.control.audit_read import Entry, about, last, state_of
from scopeside.control.audit_story import story
from scopeside.control.audit_table import row, rule_of
from scopeside.control.audit_words import moment
from scopeside.errors import AuditError, EngineNotFoundError

MAX_FAULTS = 50
USUAL = "audit.jsonl"


def verify_command(file: Path | None, head: str) -> int:
    """Name every line that is not as it was written; 0 if there is none."""
    path = the_log(file)
    found = check(path, head)
    for line in verified_in_words(path, found):
        print(line)
    return 1 if found.n_faults else 0


def verified_in_words(path: Path, found: Checked) -> list[str]:
    """Return what has come of checking a log, a line for each fault."""
    lines = [f"{path}: {fault}" for fault in found.faults[:MAX_FAULTS]]
    if found.n_faults > len(lines):
        lines.append(f"… and {found.n_faults - len(lines)} more")
    lines += [
        f"line {line}: torn by a crash; the record after it says so"
        for line in found.recovered
    ]
    said = f"BROKEN: {found.n_faults} faults" if found.n_faults else "sound"
    lines.append(f"{found.records} records: {said}")
    if not found.n_faults:
        lines.append(f"note down somewhere else: --head {found.head}")
    return lines


def show_command(
    file: Path | None, *, count: int, refused: bool, rule: str, as_json: bool
) -> int:
    """Print the last records."""

    def wanted(entry: Entry) -> bool:
        if refused and state_of(entry.record) != "refused":
            return False
        return not rule or rule_of(entry.record) == rule

    found = last(the_log(file), count, wanted)
    if as_json:
        print(json.dumps([_as_json(entry) for entry in found], indent=2))
    else:
        Console(highlight=False).print(table(found))
    return 0


def _as_json(entry: Entry) -> dict[str, object]:
    later = {"later": list(entry.later)} if entry.later else {}
    fault = {"fault": entry.fault} if entry.fault else {}
    return {**entry.record, **later, **fault}


def table(entries: list[Entry]) -> Table | Text:
    """Return a table that a microscopist reads."""
    if not entries:
        return Text("nothing of that kind is in the log")
    date = moment(entries[-1].record["t_ns"])[:10]
    found = Table(
        box=None, header_style="bold", pad_edge=False, caption=f"the last of {date}"
    )
    for name in ("n", "time", "mode", "who", "what", "verdict", "why", "latency"):
        short = name in ("n", "time", "mode", "latency")
        found.add_column(name, no_wrap=short, overflow="fold")
    for entry in entries:
        found.add_row(*map(Text, row(entry)))
    return found


def explain_command(name: str, file: Path | None) -> int:
    """Tell what there is to tell of a proposal or request."""
    console = Console(highlight=False)
    for entry in about(the_log(file), name):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for head, text in story(entry):
            grid.add_row(Text(head, style="bold"), Text(text))
        console.print(grid, "")
    return 0


def the_log(file: Path | None) -> Path:
    """Return the audit log that is meant.

    Raises
    ------
    AuditError
        If there is none.
    """
    if file is not None:
        return file / USUAL if file.is_dir() else file
    for folder in reversed(guarded()):
        try:
            found = status(folder).get("audit")
        except EngineNotFoundError:
            continue  # it hangs; there may be a file here
        if isinstance(found, str):
            return Path(found)
    if Path(USUAL).is_file():
        return Path(USUAL)
    raise AuditError(
        f"there is no {USUAL} here, and no guard of yours is running: name the file"
    )
