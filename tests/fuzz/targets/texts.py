"""Texts that people, loggers and we ourselves have written to disk."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from tests.engine.audit_records import session
from tests.fuzz.target import Target

from scopeside.cli.assignments import assignments
from scopeside.control.audit_check import check
from scopeside.control.audit_form import parsed
from scopeside.control.audit_read import last
from scopeside.control.audit_story import story
from scopeside.control.audit_table import row
from scopeside.control.book import Book
from scopeside.control.calibration import Calibration
from scopeside.control.dose_map import DoseMap
from scopeside.errors import AuditError, ConfigError, SourceError
from scopeside.pipeline import Pipeline
from scopeside.positions import read_positions
from scopeside.security.keys import read_secret, write_pair
from scopeside_adapters.channels.rows import Form, Rows
from scopeside_adapters.channels.times import reader

_KINDS = ("epoch_s", "epoch_ms", "epoch_ns", "iso", "clock")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory)


def _written(name: str, data: bytes) -> Path:
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


def pipeline(data: bytes) -> None:
    """Read a pipeline file."""
    Pipeline.load(_written("pipeline.toml", data))


def _pipelines() -> list[bytes]:
    return [
        b'[detector]\nkind = "tests.engine.small:Nothing"\n[acquisition]\nscan = [4, 5]'
        b'\n[record]\nto = "runs"\nspool_mib = 64\n[slab]\nmib = 64\n[[chain]]\n'
        b'name = "stem"\nedge = "bounded:8"\n[[chain.processor]]\n'
        b'kind = "tests.engine.small:Counts"\n'
    ]


def settings(data: bytes) -> None:
    """Read a setting of the command line."""
    assignments([data.decode("utf-8", "replace")], "a=1")


def audit_log(data: bytes) -> None:
    """Read and check a log, and tell what is in it."""
    path = _written("audit.jsonl", data)
    check(path)
    for entry in last(path, 20):
        row(entry)
        story(entry)
    for line in data.splitlines(keepends=True):
        parsed(line)


def _audit_logs() -> list[bytes]:
    return [session(Path(_folder().name) / "example.jsonl").read_bytes()]


def dose_account(data: bytes) -> None:
    """Read a dose account that was kept."""
    book = Book(Path(_folder().name) / "audit")
    book.kept_path.write_bytes(data)
    found = book.kept()
    # What else these raise, `dose_kept.restored` makes a ConfigError of.
    with suppress(ValueError, TypeError, KeyError, OverflowError):
        DoseMap.from_dict(found or {})


def _dose_accounts() -> list[bytes]:
    doses = DoseMap(1e-9)
    doses.add_everywhere(1.0, 2.0)
    return [json.dumps(doses.to_dict()).encode()]


def calibration(data: bytes) -> None:
    """Read a calibration of what moves the picture."""
    Calibration.load(_written("calibration.json", data))


def _calibrations() -> list[bytes]:
    found = {
        "actuator": "stage",
        "matrix": [[1.0, 0.1], [0.0, 1.0]],
        "covariance": np.eye(4).tolist(),
        "state": {"mode": "TEM", "magnification": 5e4},
        "measured_on": "2026-01-02T03:04:05Z",
        "instrument": "simulator",
        "step_m": 1e-8,
        "residual_m": 1e-10,
        "visits": 9,
    }
    return [json.dumps(found).encode()]


def positions(data: bytes) -> None:
    """Read a list of probe positions, as text and as an array."""
    for name in ("list.txt", "list.npy"):
        with suppress(ConfigError):
            read_positions(_written(name, data), (4, 5))


def _positions() -> list[bytes]:
    path = Path(_folder().name) / "example.npy"
    np.save(path, np.array([[0, 1], [2, 3], [3, 4]]))
    return [b"0, 1\n2 3\n3,4\n", path.read_bytes()]


def table(data: bytes) -> None:
    """Read a table of text that comes in two pieces, with each kind of time."""
    for kind in _KINDS:
        form = Form("time", "value", ",", ".", "time")
        rows = Rows(form, reader(kind, "UTC", None))  # type: ignore[arg-type]
        with suppress(SourceError):
            for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
                found = rows.feed(piece)
                assert len(found.times) == len(found.values)


def _tables() -> list[bytes]:
    head = b"Logger 5\ntime,value,unit\n"
    return [
        head + b"1767225600.5,21.5,K\n1767225601,22,K\n",
        head + b'2026-01-31T10:15:00.250Z,"21.5",K\r\n10:15:00.25,1e3,K\r\n',
    ]


def key_file(data: bytes) -> None:
    """Read a secret key."""
    path = _written("a.key_secret", data)
    path.chmod(0o600)
    read_secret(path)


def _key_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _, _, closed = write_pair("anna", Path(folder))
        return [closed.read_bytes()]


def targets() -> Sequence[Target]:
    """Return them."""
    config = (ConfigError,)
    return (
        Target("pipeline", pipeline, _pipelines, config),
        Target("settings", settings, lambda: [b"a=[1, 2.5, {b = 'c'}]"], config),
        Target("audit_log", audit_log, _audit_logs, (AuditError,)),
        Target("dose_account", dose_account, _dose_accounts, (AuditError,)),
        Target("calibration", calibration, _calibrations, config),
        Target("positions", positions, _positions, ()),
        Target("table", table, _tables, ()),
        Target("key_file", key_file, _key_files, config),
    )
