"""What is told of a run in every format that has a place for it, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scopeside.export.exporter import Source
from scopeside.export.frames import RunFrames

_KEPT = (
    "state",
    "reason",
    "started_ns",
    "ended_ns",
    "software",
    "pipeline",
    "record",
    "frames",
    "gaps",
    "windows",
    "changes",
)
"""Of the manifest; the rest of it, such as the ledger, is about the recording."""


def tree_of(source: Source) -> dict[str, Any]:
    """Return the acquisition, the run and what is absent, as nested mappings."""
    run = source.run
    acquisition = run.acquisition.to_dict()
    # The list of positions is exported as an array; as text it can have megabytes.
    acquisition.get("scan", {}).pop("visited", None)
    tree: dict[str, Any] = {
        "acquisition": acquisition,
        "run": {key: run.manifest[key] for key in _KEPT if key in run.manifest},
    }
    if source.frames is not None:
        tree["export"] = account_of(source.frames)
    return tree


def account_of(frames: RunFrames) -> dict[str, Any]:
    """Return which frames are absent, and why there are fewer or more than recorded.

    It is final when all frames have been read.
    """
    return {
        "frames": len(frames.places),
        "frames_absent": int((~frames.present).sum()),
        "absent_by_cause": frames.absent_by_cause,
        "absent_places": frames.absent.tolist(),
        "fill_value": str(frames.fill),
        "frames_not_exported": frames.unplaced,
        "frames_repeated": frames.repeated,
        "damaged": list(frames.damaged),
        "run_was_growing": frames.run.growing,
    }


def started(source: Source) -> datetime | None:
    """Return when the first frame was taken, UTC; None where no one has said."""
    began = source.run.acquisition.started_ns
    if began is None and source.frames is not None:
        there = source.frames.times_ns[source.frames.present]
        began = int(there[0]) if len(there) and there[0] > 0 else None
    return None if not began else datetime.fromtimestamp(began / 1e9, UTC)


def number(said: Mapping[str, Any], *names: str) -> float | None:
    """Return the first of the calibrations that is there and a number."""
    for name in names:
        value = said.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def as_json(tree: Mapping[str, Any]) -> str:
    """Return it as text."""
    return json.dumps(tree, default=str)
