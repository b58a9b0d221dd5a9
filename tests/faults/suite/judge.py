"""What a run must come to: its ledger, its losses. Only values, no files, no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.record.settings import EDGE

Mask = npt.NDArray[np.bool_]


@dataclass
class Verdict:
    """What was found of a run.

    Attributes
    ----------
    closed
        Whether every ledger was closed; of a supervisor that was killed: whether what
        it had recorded could be restored.
    undeclared
        Frames that are in no place that the ledger or a gap names.
    declared
        Frames that are lost, as is said.
    differences
        Results or recorded frames that are not those of the undisturbed run where no
        loss is declared.
    leftovers
        What was left behind.
    wrong
        Anything else that should not be: a loss that the fault does not excuse, a
        wrong exit code, a traceback.
    """

    closed: bool = True
    undeclared: int = 0
    declared: int = 0
    restarts: int = 0
    differences: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """All that is not as it must be, one line each."""
        found = [] if self.closed else ["the ledger is not closed"]
        if self.undeclared:
            found.append(f"{self.undeclared} frames are lost, and nothing says so")
        found += [f"differs: {one}" for one in self.differences]
        found += [f"left: {one}" for one in self.leftovers]
        return found + self.wrong


def mask_of(runs: Iterable[Sequence[Any]], count: int) -> Mask:
    """Return which of `count` frames lie in runs of [first, last, …], (count,)."""
    found = np.zeros(count, np.bool_)
    for first, last, *_ in runs:
        found[max(0, first) : last + 1] = True
    return found


def judge_ledger(
    book: Mapping[str, Any],
    processed: Mapping[str, list[list[int]]],
    count: int,
    verdict: Verdict,
) -> None:
    """Follow every frame that the detector sent through the book of an acquisition.

    Parameters
    ----------
    processed
        Runs of frames by chain.
    count
        Frames that the detector sent: 0 … count - 1.
    """
    ingest = book["ingest"]
    received = mask_of(ingest["received_runs"], count)
    missing = mask_of(ingest["missing_runs"], count)
    if any(last >= count for _, last in ingest["received_runs"]):
        verdict.differences.append(f"frames beyond {count} were received")
    verdict.closed &= bool(book["closed"])
    _judge_arrival(book, received, missing, verdict)
    for name, edge in book["edges"].items():
        if name != EDGE:
            done = mask_of(processed.get(name, ()), count)
            _judge_edge(name, edge, (received, missing, done), verdict)


def _judge_arrival(
    book: Mapping[str, Any], received: Mask, missing: Mask, verdict: Verdict
) -> None:
    ingest = book["ingest"]
    if received.sum() != ingest["received"]:
        verdict.wrong.append(
            f"the runs of frames received hold {received.sum()}, the count says "
            f"{ingest['received']}"
        )
    if (both := int((received & missing).sum())) > 0:
        verdict.differences.append(f"{both} frames are received and missing")
    if missing.sum() != sum(ingest["missing"].values()):
        verdict.wrong.append(
            f"{missing.sum()} frames are missing, {ingest['missing']} by cause"
        )
    never = int((~received & ~missing).sum())
    # Of an acquisition that broke off nobody knows what the detector would have sent.
    if book["state"] in ("complete", "incomplete") or not book["reason"]:
        verdict.undeclared += never
    else:
        verdict.declared += never
    verdict.declared += int(missing.sum())


def _judge_edge(
    name: str,
    edge: Mapping[str, Any],
    frames: tuple[Mask, Mask, Mask],
    verdict: Verdict,
) -> None:
    received, missing, done = frames
    verdict.closed &= bool(edge["closed"])
    said = sum(edge["dropped"].values()) + sum(edge["failed"].values())
    announced = int((received | missing).sum())
    lost = int(((received | missing) & ~done).sum())
    if edge["announced"] != announced:
        verdict.wrong.append(
            f"{name}: {edge['announced']} frames announced, {announced} known"
        )
    if (odd := int((done & ~received).sum())) > 0:
        verdict.differences.append(f"{name}: {odd} frames processed that never came")
    verdict.undeclared += max(0, lost - said)
    if said > lost:
        verdict.wrong.append(f"{name}: {said} frames are said to be lost, {lost} are")
    verdict.declared += int((received & ~done).sum())


def judge_recording(
    book: Mapping[str, Any],
    recorded: Mask,
    gaps: Iterable[tuple[int, int, str]],
    verdict: Verdict,
    *,
    finished: bool = True,
) -> None:
    """Compare what was received with what lies on disk and with the gaps there.

    `finished`: the run was closed. On a disk that could not be written to any more no
    gap could be, either: then the ledger must have the number of frames and the cause.
    """
    count = len(recorded)
    received = mask_of(book["ingest"]["received_runs"], count)
    listed = list(gaps)
    absent = mask_of(listed, count)
    if (both := int((recorded & absent).sum())) > 0:
        verdict.differences.append(f"recording: {both} frames recorded and in a gap")
    if (odd := int((recorded & ~received).sum())) > 0:
        verdict.differences.append(f"recording: {odd} frames that were never received")
    if any(not cause for *_, cause in listed):
        verdict.wrong.append("recording: a gap without a cause")
    lost = received & ~recorded
    verdict.declared += int(lost.sum())
    edge = book["edges"].get(EDGE)
    nowhere = int((lost & ~absent).sum())
    if not finished and edge is not None and nowhere:
        verdict.notes.append(f"{nowhere} frames are lost by the ledger alone")
        said = sum(edge["dropped"].values()) - sum(book["ingest"]["missing"].values())
        nowhere = max(0, int(lost.sum()) - said - sum(edge["failed"].values()))
    verdict.undeclared += nowhere
    if edge is None:
        return
    verdict.closed &= bool(edge["closed"])
    if edge["processed"] != int(recorded.sum()):
        verdict.wrong.append(
            f"recording: {edge['processed']} frames in the ledger, "
            f"{int(recorded.sum())} on disk"
        )


def judge_end(
    code: int, said: str, lost: int, *, may_lose: bool, verdict: Verdict
) -> None:
    """Look at how a run ended.

    Parameters
    ----------
    said
        All that it wrote.
    lost
        Frames that are declared lost.
    """
    if "Traceback" in said:
        at = said.index("Traceback")
        verdict.wrong.append(f"a traceback: {said[at : at + 2000]}")
    if lost and not may_lose:
        verdict.wrong.append(f"{lost} frames are lost, and the fault excuses none")
    if not lost and not may_lose and code != 0:
        verdict.wrong.append(f"exit code {code}, and nothing was lost")
    if lost and code == 0:
        verdict.wrong.append(f"exit code 0, and {lost} frames are lost")
