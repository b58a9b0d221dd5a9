"""The status of an engine that is well, and of one that is not in one thing."""

import os


def account(processed=900, dropped=None, failed=None, in_flight=0):
    return {
        "announced": 1000,
        "processed": processed,
        "dropped": dropped or {},
        "failed": failed or {},
        "in_flight": in_flight,
        "closed": not in_flight,
    }


def process(name, role="worker", **more):
    said = {"pid": os.getpid(), "state": "running", "alive": True, "incarnation": 1}
    return {"role": role, "name": name, **said, "device": None, **more}


def well():
    """Return the status of an engine that is well."""
    return {
        "pipeline": "stem.toml",
        "folder": "/run/1",
        "phase": "running",
        "seconds": 300.0,
        "servers": {},
        "plaintext": [],
        "processes": [process("adapter", "adapter"), process("worker.stem.0")],
        "restarts": {"adapter": 0, "worker.stem.0": 0},
        "slab": {"slots": 60, "in_use": 3, "bytes": 1 << 28},
        "rates": {"frames": 1000, "frames_per_s": 100.0, "gb_per_s": 0.1},
        "stages": {"adapter": {"busy_s": 1.0, "blocked_s": 0.0, "starved_s": 9.0}},
        "queues": {"stem": {"queued": 0, "held": 1, "workers": 1, "degraded": False}},
        "edges": {"stem": account(), "record": account()},
        "params": {},
        "open": {
            "scan-1": {
                "state": "running",
                "acquisition": {
                    "frames": 2000, "calibration": {"frame_time_s": 0.001}
                },
                "ingest": {"received": 1000, "missing": {}},
                "edges": {"stem": account()},
            }
        },
        "channels": {"heat": {"state": "ok", "reason": "", "value": 300.0}},
        "rejected": {},
        "acquisitions": {},
        "control": {
            "mode": "advise", "parked": None, "connected": True, "unreadable": "",
            "unwritten": "",
            "dose": {
                "lacking": "", "here_e_per_A2": 10.0, "budget_e_per_A2": 100.0,
                "run_e_per_A2": [9.0, 10.0], "run_budget_e_per_A2": None,
                "highest_e_per_A2": [9.0, 10.0],
            },
        },
        "record": {
            "state": "ok", "free_bytes": 10**12, "disk_mb_per_s": 100.0,
            "in_mb_per_s": 100.0, "backlog_bytes": 0, "full_in_s": None, "lost": {},
        },
        "latency_ms": {"frame_to_result": None},
        "notes": [],
    }  # fmt: skip


def changed(path, value):
    """Return the status of an engine that is well, but for one thing."""
    status = well()
    *way, last = path.split("/")
    place = status
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    return status
