"""Makes recorded runs for tests, as the recorder writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.packed import AnyBatch
from scopeside.runs import manifest
from scopeside.runs.message import message_of
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind

BEGAN_NS = 1_767_323_045_000_000_000  # 2026-01-02T03:04:05Z
PERIOD_NS = 2_000_000


def write_run(
    folder: Path,
    acquisition: Acquisition,
    batches: Iterable[AnyBatch],
    *,
    segment_bytes: int = 1 << 24,
    gaps: Iterable[tuple[int, int, str]] = (),
    end: int | None = None,
    **told: Any,
) -> Path:
    """Write batches as a run in `folder`; `told` goes into the manifest."""
    writer = RunWriter.create(folder, segment_bytes)
    head = {"acquisition": acquisition.to_dict(), "epoch": 0}
    manifest.write(folder, {"state": "recording", **head})
    writer.append(Kind.START, head)
    for seq, batch in enumerate(batches):
        said = message_of(acquisition.id, batch, seq=seq)
        writer.append(Kind.BATCH, said.header, said.parts, **_where(said))
    for first, last, cause in gaps:
        gap = {"acq": acquisition.id, "first": first, "last": last, "cause": cause}
        writer.append(Kind.GAP, gap, first=first, last=last)
    if end is not None:
        writer.append(Kind.END, {"acq": acquisition.id, "total": end})
    segments = writer.close()
    whole = {"state": "complete", **head, "segments": segments, **told}
    manifest.write(folder, whole)
    return folder


def times_of(index: Any) -> Any:
    """Return evenly spaced time stamps, ns."""
    return BEGAN_NS + np.asarray(index, np.int64) * PERIOD_NS


def frames_of(n: int, shape: tuple[int, int], dtype: str) -> Any:
    """Return frames whose pixels tell their frame, their place and their dtype."""
    rng = np.random.default_rng(n)
    found = rng.integers(0, 200, (n, *shape)).astype(dtype)
    found[:, 0, 0] = np.arange(n) % 200
    if np.dtype(dtype).itemsize > 1:
        found[:, -1, -1] = 1000 + np.arange(n) % 50_000
    return found


def _where(said: Any) -> dict[str, int]:
    names = ("n", "first", "last", "t_ns", "t_last_ns")
    return {name: getattr(said, name) for name in names}
