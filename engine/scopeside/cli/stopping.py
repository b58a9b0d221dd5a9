"""``scopeside hold`` and ``scopeside blank``: quick, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from scopeside.control.answer_words import NOT_CONFIRMED, stop_in_words
from scopeside.control.asking import guarded, stop

OWN_CONTROLS = "Use the instrument's own controls"
SOON_S = 1.0
"""After so long a person is told that nobody has answered yet."""


def stop_command(what: str, run: Path | None) -> int:
    """Ask all guards at once; 0 only if each has confirmed."""
    folders = guarded() if run is None else [run]
    if not folders:
        print(f"{NOT_CONFIRMED}.\nNo guard of yours is running on this machine.")
        return 1
    with ThreadPoolExecutor(len(folders)) as threads:
        asked = [threads.submit(stop, folder, what) for folder in folders]
        if wait(asked, SOON_S).not_done:
            print(f"No answer yet; do not wait for it. {OWN_CONTROLS}.", flush=True)
        answers = [one.result() for one in asked]
    for folder, answer in zip(folders, answers, strict=True):
        where = f" ({folder})" if len(folders) > 1 else ""
        print(stop_in_words(what, answer) + where)
    return 0 if all(answer.ok for answer in answers) else 1
