"""The pipeline files of the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.suite.material import DETECTORS
from tests.faults.suite.schedule import SILENT_S, SLAB_MIB, WORKERS, Plan
from tests.system.plugins import lines

SECONDS = 2.0
"""How long the frames of a run take to come."""
SPOOL_MIB = 16
DISK_MIB = 4
"""What fits onto the disk that gets full."""
ROOM_MIB = 48
"""Its size, where it gets full for another reason than its size."""
FEEDBACK = {
    "mode": "observe",
    "adapter": {"kind": "paper", "state": {"defocus_m": 0.0}},
    "audit": "audit.jsonl",
    "rule": [
        {
            "name": "watches",
            "when": "com.com",
            "propose": {"action": "set_defocus", "defocus_m": 1e-9},
        }
    ],
}
HEAT = {
    "name": "heat",
    "kind": "csv",
    "path": "heat.csv",
    "time": "t",
    "value": "v",
    "tolerance_s": 5.0,
    "wait_s": 0.1,
}


def pipeline_of(
    plan: Plan,
    detector: Mapping[str, Any],
    folder: Path,
    scan: tuple[int, int] | None,
) -> Path:
    """Write the pipeline file of a run.

    Parameters
    ----------
    detector
        Its table.
    folder
        Of the run.
    scan
        Probe positions; None: a movie.
    """
    tables: dict[str, Any] = {
        "detector": dict(detector),
        "slab": {"mib": plan.slab_mib, "batch_kib": _batch_kib(plan)},
        "chain": [_scan_chain(plan) if scan else _film()],
        "engine": {"silent_s": SILENT_S, "drain_s": 6.0},
        "record": {
            "to": _disk_of(folder),
            "spool_mib": SPOOL_MIB if plan.slab_mib == SLAB_MIB else plan.slab_mib,
            "segment_mib": 2,
            "keep_free_mib": _keep_free_mib(plan),
            "sync_s": 0.3,
        },
    }
    if scan:
        tables["acquisition"] = {"scan": list(scan)}
    if plan.beside:
        (folder / "heat.csv").write_text("t,v\n1,300\n2,301\n")
        tables |= {"channel": [HEAT], "control": FEEDBACK}
    _without_memory(plan, tables)
    path = folder / "pipeline.toml"
    path.write_text(lines(**tables).replace("detectors = 0", _detectors()))
    return path


def disk(folder: Path) -> Path:
    """Return where the small disk of a run is mounted."""
    return folder / "disk"


def _disk_of(folder: Path) -> Path:
    small = disk(folder)
    return (small if small.exists() else folder) / "runs"


def _batch_kib(plan: Plan) -> int:
    """Return the size of a slot; of small ones there are more than frames."""
    return 64 if plan.slab_mib == SLAB_MIB else 16


def _keep_free_mib(plan: Plan) -> int:
    return ROOM_MIB - DISK_MIB if plan.fault.detail == "keep_free" else 0


def _scan_chain(plan: Plan) -> dict[str, Any]:
    steps = [
        {"kind": "virtual", "detectors": 0},
        {"kind": "com", "of": ["com"]},
        {"kind": "sum"},
    ]
    workers = 2 if {*plan.fault.whom} & {*WORKERS} else 1
    return {"name": "stem", "workers": workers, "processor": steps}


def _film() -> dict[str, Any]:
    return {"name": "film", "processor": [{"kind": "drift", "trace_every": 1}]}


def _detectors() -> str:
    inner = ", ".join(
        f"{name} = {{ {shape} = {values} }}"
        for name, one in DETECTORS.items()
        for shape, values in one.items()
    )
    return f"detectors = {{ {inner} }}"


def _without_memory(plan: Plan, tables: dict[str, Any]) -> None:
    """Ask for more shared memory than there is."""
    if plan.fault.detail == "slab":
        tables["slab"] = {"mib": 1 << 20}
    elif plan.fault.detail == "spool":
        tables["record"]["spool_mib"] = 1 << 20
