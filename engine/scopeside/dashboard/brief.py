"""The status as tabs need it: without what grows over a long day."""

from __future__ import annotations

from typing import Any

MOST_ENDED = 20
"""Acquisitions that are over, the last ones, which the page asks for."""
_LONG = ("processed_runs", "results")
_RUNS = ("received_runs", "missing_runs")


def brief(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status with the last acquisitions only, and without runs of frames."""
    ended = status.get("acquisitions")
    if not isinstance(ended, dict):
        return status
    last = {name: _brief(ended[name]) for name in list(ended)[-MOST_ENDED:]}
    opened = status.get("open")
    if isinstance(opened, dict):
        opened = {name: _brief(one) for name, one in opened.items()}
    return {**status, "acquisitions": last, "open": opened}


def _brief(acquisition: Any) -> Any:
    if not isinstance(acquisition, dict):
        return acquisition
    kept = {key: one for key, one in acquisition.items() if key not in _LONG}
    if isinstance(kept.get("ingest"), dict):
        ingest = kept["ingest"]
        kept["ingest"] = {key: one for key, one in ingest.items() if key not in _RUNS}
    return kept
