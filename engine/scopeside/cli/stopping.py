"""``scopeside hold`` and ``scopeside blank``: quick, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from scopeside.control.asking import Answer, guarded, stop
from scopeside.control.audit_words import printable

OWN_CONTROLS = "Use the instrument's own controls"
NOT_CONFIRMED = "NOT CONFIRMED: use the instrument's own controls"
SOON_S = 1.0
"""After so long a person is told that nobody has answered yet."""
_DONE = {
    "hold": "HELD: nothing is sent any more; a person has to arm or advise again",
    "blank": "BLANKED, and held; a person has to unblank",
}


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
        print(in_words(what, answer) + where)
    return 0 if all(answer.ok for answer in answers) else 1


def in_words(what: str, answer: Answer) -> str:
    """Return what has come of it."""
    reason = printable(answer.reason)
    if answer.ok:
        more = f"; {reason}" if reason else ""
        return f"{_DONE[what]}{more} [confirmed after {answer.took_ms:.0f} ms]"
    return f"{NOT_CONFIRMED}.\nAsked to {what}: {reason or 'it did not say why'}"
