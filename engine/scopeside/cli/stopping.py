"""``scopeside hold`` and ``scopeside blank``: quick, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scopeside.control.asking import PATIENCE_S, Answer, guarded, stop

NOT_CONFIRMED = "NOT CONFIRMED: use the instrument's own controls"
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
        answers = list(threads.map(lambda f: stop(f, what, PATIENCE_S), folders))
    for folder, answer in zip(folders, answers, strict=True):
        where = f" ({folder})" if len(folders) > 1 else ""
        print(in_words(what, answer) + where)
    return 0 if all(answer.ok for answer in answers) else 1


def in_words(what: str, answer: Answer) -> str:
    """Return what has come of it."""
    if answer.ok:
        more = f"; {answer.reason}" if answer.reason else ""
        return f"{_DONE[what]}{more} [confirmed after {answer.took_ms:.0f} ms]"
    why = answer.reason or "the guard did not answer"
    return f"{NOT_CONFIRMED}.\nAsked to {what}: {why}"
