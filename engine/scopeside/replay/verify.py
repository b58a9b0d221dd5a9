"""A verification: a recording read whole, played again, and held against itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scopeside.errors import AuditError
from scopeside.ledger import FrameRanges
from scopeside.replay import decisions
from scopeside.replay.held_against import Line, doubts_of, held_against
from scopeside.replay.values import first_difference
from scopeside.runs import manifest
from scopeside.runs.run import Run
from scopeside.runs.verify import damages

AUDIT = "audit.jsonl"


@dataclass(slots=True)
class Verification:
    """What has come of it.

    Attributes
    ----------
    damage
        What of the recording is not as it was written.
    lines
        The table: results, decisions, and how it ended.
    hints
        What may explain a difference.
    """

    damage: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @property
    def first(self) -> str:
        """The first thing that is not as it was, in words; empty if all is."""
        if self.damage:
            return self.damage[0]
        for verdict in ("different", "not comparable"):
            for line in self.lines:
                if line.verdict == verdict:
                    return f"{line.name}: {line.why}"
        return "" if self.lines else "there is nothing to compare"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {
            "identical": not self.first,
            "first": self.first,
            "damage": self.damage,
            "lines": [[one.name, one.verdict, one.why] for one in self.lines],
            "hints": self.hints,
        }


def damage_in(run: Run) -> list[str]:
    """Read all of a recording; return what is not as it was written."""
    found = [str(damage) for damage in damages(run.folder)]
    said = run.manifest.get("frames", {}).get("recorded", run.frames)
    if said != run.frames:
        found.append(
            f"{run.folder}: its manifest speaks of {said} frames, its segments hold "
            f"{run.frames}"
        )
    path = run.folder / AUDIT
    if path.is_file():
        found += [f"{path}: {fault}" for fault in decisions.faults_in(path)]
    return found


def compare(
    run: Run, report: Mapping[str, Any], results: Path, audit: Path
) -> Verification:
    """Hold the end of a replay against the recording.

    Parameters
    ----------
    report
        Of the replay's engine.
    results, audit
        What the replay has written: a folder of results, and a log of decisions.
    """
    done = Verification(hints=software_hints(run.manifest))
    book = report.get("acquisitions", {}).get(run.acquisition.id)
    if book is None:
        why = f"the replay has not ended as it should: {report['exit']['reason']}"
        done.lines.append(Line("end", "not comparable", why))
        return done
    done.lines += [_end(run.manifest, book)]
    chains = [chain["name"] for chain in run.manifest["pipeline"]["chain"]]
    doubts = doubts_of(run.manifest, FrameRanges(run.present()), chains)
    recorded = run.manifest.get("results", {})
    lines = held_against(recorded, book["results"], doubts)
    done.lines += [_located(line, run.folder / "results", results) for line in lines]
    done.lines += _decisions(run, doubts, audit)
    return done


def software_hints(recorded: Mapping[str, Any]) -> list[str]:
    """Return which versions are not those of the recording."""
    before, now = recorded.get("software", {}), manifest.software()
    absent = "not there"
    return [
        f"{name} was {before.get(name, absent)} and is {now.get(name, absent)}"
        for name in sorted({*before, *now})
        if before and before.get(name) != now.get(name)
    ]


def _end(recorded: Mapping[str, Any], book: Mapping[str, Any]) -> Line:
    """Compare how it ended, and whether all frames came."""
    ledger = recorded.get("ledger")
    if not ledger:
        why = f"the recording was not closed (state {recorded.get('state')!r})"
        return Line("end", "not comparable", why)
    if book["state"] != ledger["state"]:
        why = f"it was {ledger['state']!r} and is {book['state']!r}: {book['reason']}"
        return Line("end", "different", why)
    frames = book["ingest"]["received"]
    return Line("end", "same", f"{book['state']}, {frames} frames")


def _located(line: Line, recorded: Path, found: Path) -> Line:
    """Say where a result that differs does so."""
    now = found / f"{line.name}.npz"
    if line.verdict != "different" or not now.is_file():
        return line
    where = first_difference(recorded / now.name, now)
    return replace(
        line,
        why=where
        or f"{line.why}; the recorded values are the same as now, so it is the digest "
        "in the manifest that was changed",
    )


def _decisions(run: Run, doubts: Mapping[str, str], audit: Path) -> list[Line]:
    control = run.manifest["pipeline"].get("control")
    path = run.folder / AUDIT
    if control is None or not path.is_file():
        return []
    name = run.acquisition.id
    try:
        recorded = decisions.decisions_in(path, name)
        found = decisions.decisions_in(audit, name)
    except AuditError as error:
        return [Line(decisions.NAME, "not comparable", str(error))]
    if control.get("clock", "wall") != "frames":
        why = f"{len(recorded)} were made by the clock of the day (control.clock)"
        return [Line(decisions.NAME, "not compared", why)]
    if why := next(iter(doubts.values()), ""):
        return [Line(decisions.NAME, "not comparable", why)]
    return [decisions.compare(recorded, found)]
