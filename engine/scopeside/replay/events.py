"""When the events of a recording were."""

from __future__ import annotations

from scopeside.runs.run import Run


def events_of(run: Run) -> list[int]:
    """Return where what surrounds each event begins, ns since 1970 UTC, in order.

    They are the windows that were recorded with ``mode = "on_event"``.
    """
    return sorted(int(begin_ns) for begin_ns, *_ in run.manifest.get("windows", ()))
