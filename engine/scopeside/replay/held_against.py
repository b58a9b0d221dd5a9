"""What came of a replay, held against what came of it when it was recorded.

Pure: digests, ranges and records in, lines of a table out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scopeside.ledger import FrameRanges

Verdict = Literal["same", "different", "not comparable", "not compared"]
"""Not comparable: it should be the same, and nobody can say; not compared: it stands on
what no recording holds, such as the clock of the day."""
CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Line:
    """One result, or all decisions, in the table of a verification."""

    name: str
    verdict: Verdict
    why: str = ""


def held_against(
    recorded: Mapping[str, str],
    found: Mapping[str, str],
    doubts: Mapping[str, str],
) -> list[Line]:
    """Return a line for each result of either.

    Parameters
    ----------
    recorded, found
        Digests by name, as ``chain.processor.result``.
    doubts
        By chain: why its results cannot be the same.
    """
    lines = []
    for name in [*recorded, *(name for name in found if name not in recorded)]:
        why = doubts.get(name.partition(".")[0], "")
        if why:
            lines.append(Line(name, "not comparable", why))
        elif name not in found:
            lines.append(Line(name, "different", "the replay has no such result"))
        elif name not in recorded:
            lines.append(Line(name, "different", "the recording has no such result"))
        elif recorded[name] != found[name]:
            why = f"its digest was {recorded[name]} and is {found[name]}"
            lines.append(Line(name, "different", why))
        else:
            lines.append(Line(name, "same"))
    return lines


def doubts_of(
    manifest: Mapping[str, Any], recorded: FrameRanges, chains: Iterable[str]
) -> dict[str, str]:
    """Return by chain why its results cannot be had again, if they cannot.

    Parameters
    ----------
    recorded
        Frames that are in the recording and can be read.
    """
    doubts = {}
    timed = FrameRanges()
    for chain in chains:
        runs = manifest.get("processed", {}).get(chain)
        if runs is None:
            doubts[chain] = "the manifest does not say which frames it had processed"
            continue
        if lacking := _lacking(runs, recorded):
            doubts[chain] = (
                f"it had processed frames that are not in the recording: {lacking}"
            )
        for first, last in runs:
            timed.add(first, last)
    if why := next(iter(doubts.values()), ""):
        doubts[CHANNELS] = f"samples are joined to frames of all chains: {why}"
    elif lacking := _lacking(_failed(manifest), timed):
        doubts[CHANNELS] = f"samples were joined to frames that failed: {lacking}"
    return doubts


def _failed(manifest: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the frames that failed with any chain."""
    return [
        (first, last)
        for causes in manifest.get("failed", {}).values()
        for runs in causes.values()
        for first, last in runs
    ]


def _lacking(runs: Iterable[Any], known: FrameRanges) -> str:
    """Return in words which frames of `runs` are not among those `known`."""
    lacking = FrameRanges()
    for first, last in runs:
        for a, b in known.holes(first, last):
            lacking.add(a, b)
    found = [f"{a} to {b}" for a, b in lacking]
    more = f" and {len(found) - 3} more runs" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more
