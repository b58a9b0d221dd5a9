"""``scopeside status``: ask the engine that runs here how it is."""

from __future__ import annotations

import json

from rich.console import Console

from scopeside.cli.progress import screen
from scopeside.inquiry import ask
from scopeside.runfolder import the_running


def status_command(*, as_json: bool) -> int:
    """Print the status of the engine that was started last."""
    status = ask(the_running())
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        Console(highlight=False).print(screen(status))
    return 0
