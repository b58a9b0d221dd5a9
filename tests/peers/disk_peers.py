"""Disk positions that other people's programs find, each as (frames, n, 2)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
from tests import nbed

HERE = Path(__file__).parent
PY4DSTEM = Path(
    os.environ.get("SCOPESIDE_PY4DSTEM", HERE.parents[1] / ".venv-py4dstem/bin/python")
)


def probe_of(radius, edge, side):
    """The convergence disk with a million electrons."""
    y, x = np.mgrid[:side, :side] - side // 2
    image = nbed.disk(np.hypot(y, x), radius, edge)
    return np.random.default_rng(5).poisson(1e6 * image / image.sum())


def py4dstem(frames, radius, edge, folder):
    """(frames, 64, 2) positions, NaN-padded, and seconds of one thread."""
    source, target = folder / "frames.npz", folder / "peaks.npz"
    probe = probe_of(radius, edge, frames.shape[-1])
    np.savez(source, frames=frames, probe=probe, radius=radius)
    program = [str(PY4DSTEM), str(HERE / "py4dstem_disks.py"), source, target]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    env |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(target) as found:
        return found["peaks"], float(found["seconds"])


def blobfinder(frames, radius, expected):
    """(frames, n, 2) positions around `expected`, and seconds of one thread."""
    from libertem_blobfinder.common import correlation, patterns

    frames = frames.reshape(-1, *frames.shape[-2:]).astype(np.float32)
    pattern = patterns.BackgroundSubtraction(radius)
    places = np.rint(expected).astype(np.int32)
    correlation.process_frames_fast(pattern, frames[:1], places)
    began = time.thread_time()
    found = correlation.process_frames_fast(pattern, frames, places)
    return found[1].astype(float), time.thread_time() - began


def misses(peaks, truth, within):
    """How far the nearest peak is from each true disk, NaN beyond `within`.

    `peaks` is (frames, n, 2), `truth` (frames, disks, 2): (frames, disks).
    """
    peaks = np.where(np.isnan(peaks), 1e6, peaks)
    away = np.linalg.norm(peaks[:, :, None] - truth[:, None], axis=-1)
    nearest = np.where(np.isnan(away), 1e6, away).min(axis=1)
    return np.where(nearest <= within, nearest, np.nan)
