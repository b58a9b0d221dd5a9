"""What a tab is told of a record: what has changed since it asked last."""

from __future__ import annotations

import math
from typing import Any

from scopeside.dashboard.insitu_events import MOST_COURSES, Event
from scopeside.dashboard.insitu_record import Record
from scopeside.series.lines import TITLES, Line
from scopeside.series.trace import Point

GROWN = ("confirmed", "dissolved")
"""What is told of these holds their size over time."""


def told(
    record: Record, since: int, origin_ns: int, *, outlines: bool
) -> dict[str, Any]:
    """Return plain values; times are seconds after `origin_ns`."""
    newest = record.newest
    at = _Seconds(origin_ns)
    return {
        "revision": record.revision,
        "origin_ms": origin_ns / 1e6,
        "acq": record.acq,
        "now": None if newest is None else at(newest.times.newest_ns),
        "nm_per_px": None if newest is None else newest.nm_per_px,
        "marks": [
            {"acq": acq, "t": at(one.begin_ns)}
            for acq, one in record.acquired.items()
            if one.begin_ns
        ],
        "rows": _rows(record),
        "lines": _lines(record, since, at),
        "events": _events(record, since, at),
        "images": [{"key": key, "role": role} for key, role in record.images.items()],
        "event_ids": record.events.uids(),
        "places": record.places.told(outlines=outlines),
        "drift": [] if newest is None else newest.drift.told(),
        "drift_of": "" if newest is None else newest.drift_of,
        "left_out": {
            "events": record.events.left_out,
            "lines": len(record.kept.left_out),
        },
    }


class _Seconds:
    """Seconds after the beginning."""

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns

    def __call__(self, t_ns: int | None) -> float | None:
        return None if t_ns is None else round((t_ns - self._origin_ns) / 1e9, 3)


def _rows(record: Record) -> list[dict[str, Any]]:
    """Return the plots there are, in their order: one for each unit of a row."""
    found = {(line.row, line.unit): None for line, _ in record.kept.lines.values()}
    order = {row: at for at, row in enumerate(TITLES)}
    return [
        {
            "id": f"{row} {unit}",
            "title": TITLES.get(row, row.removeprefix("channel ")),
            "unit": unit,
            "limits": [
                one for one in record.limits.get(row, ()) if one["unit"] == unit
            ],
            "words": record.words.get(row, ""),
        }
        for row, unit in sorted(found, key=lambda one: (order.get(one[0], 99), one))
    ]


def _lines(record: Record, since: int, at: _Seconds) -> list[dict[str, Any]]:
    found = []
    for line, trace in record.kept.lines.values():
        changed = trace.since(since)
        if changed is not None:
            found.append(
                {
                    "id": line.ident,
                    "row": f"{line.row} {line.unit}",
                    "label": line.label,
                    "holds": line.holds,
                    "every": trace.every,
                    "after": at(changed.after),
                    "t": [at(t_ns) for t_ns, *_ in changed.points],
                    "v": [_short(value) for _, value, *_ in changed.points],
                    **_band(line, changed.points),
                }
            )
    return found


def _band(line: Line, points: list[Point]) -> dict[str, Any]:
    """Return both ends of the band of each point; nothing where none has one."""
    if not any(math.isfinite(low) for _, _, low, _ in points):
        return {}
    return {
        "band": line.band,
        "low": [_short(low) for _, _, low, _ in points],
        "high": [_short(high) for _, _, _, high in points],
    }


def _events(record: Record, since: int, at: _Seconds) -> list[dict[str, Any]]:
    """Return what is new, the latest last; the latest nuclei with their sizes."""
    changed = record.events.since(since)
    grown = [e.uid for e in changed if e.told.get("status") in GROWN]
    sized = set(grown[-MOST_COURSES:])
    found = []
    for event in changed:
        one = _event(event, at)
        if event.uid in sized:
            one["course"] = [[at(t_ns), _short(r)] for t_ns, r, _ in event.course]
        found.append(one)
    return found


def _event(event: Event, at: _Seconds) -> dict[str, Any]:
    found = {name: _short(value) for name, value in event.told.items()}
    found["uid"] = event.uid
    for name in ("t", "birth"):
        found[name] = at(found.pop(f"{name}_ns", None))
    return found


def _short(value: Any) -> Any:
    """Return a number with as many digits as a plot shows."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
