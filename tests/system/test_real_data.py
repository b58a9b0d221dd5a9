"""Real files through the whole engine: equal to numpy on what others read from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.real_data import real
from tests.system.engine_runs import scopeside
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.data, pytest.mark.timeout(180)]


def run_over(folder: Path, path: Path, centre: tuple[int, int], **detector) -> Path:
    """Run virtual and sum over a file; return the folder of results."""
    cy, cx = centre
    text = lines(
        detector={"kind": "file", "path": path, **detector},
        chain=[
            {
                "name": "live",
                "processor": [
                    {"kind": "virtual", "detectors": "HERE"},
                    {"kind": "sum"},
                ],
            }
        ],
    )
    text = text.replace(
        '"HERE"',
        f"{{ bf = {{ disk = [{cy}, {cx}, 12] }}, "
        f"adf = {{ annulus = [{cy}, {cx}, 20, 55.5] }} }}",
    )
    (folder / "pipeline.toml").write_text(text)
    found = scopeside(
        folder, "run", "pipeline.toml", "--report", "report.json", "--results", "out"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return folder / "out"


def assert_equals_numpy(
    folder: Path, out: Path, frames: np.ndarray, scan: tuple[int, ...], centre
) -> None:
    """Compare every result with numpy on `frames` (n, height, width)."""
    frames = frames.astype(np.int64)
    y, x = np.indices(frames.shape[1:])
    distance2 = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    masks = {
        "bf": distance2 <= 12**2,
        "adf": (distance2 > 20**2) & (distance2 <= 55.5**2),
    }
    for name, mask in masks.items():
        with np.load(out / f"live.virtual.{name}.npz") as found:
            expected = frames[:, mask].sum(1).reshape(scan)
            np.testing.assert_array_equal(found["data"], expected)
            assert found["data"].dtype == np.int64
    with np.load(out / "live.sum.sum.npz") as found:
        np.testing.assert_array_equal(found["data"], frames.sum(0))
    with np.load(out / "live.sum.max.npz") as found:
        np.testing.assert_array_equal(found["data"], frames.max(0))
    report = json.loads((folder / "report.json").read_text())
    assert report["closed"]
    assert report["ledger"]["live"]["processed"] == len(frames)


def test_the_block_file_of_a_precession_scan(tmp_path):
    path = real("stem/astar_3x2_144x144_u8.blo")
    data = path.read_bytes()
    # Each pattern follows a 6-byte lead; what stands before them ends where the
    # patterns, counted from the end of the file, begin.
    size = 6 + 144 * 144
    frames = np.stack(
        [
            np.frombuffer(data, np.uint8, 144 * 144, len(data) - (6 - k) * size + 6)
            for k in range(6)
        ]
    ).reshape(6, 144, 144)
    out = run_over(tmp_path, path, (72, 72))
    assert_equals_numpy(tmp_path, out, frames, (3, 2), (72, 72))


def test_the_merlin_scan(tmp_path):
    path = real("stem/merlin_4x2/001_4x2_6bit.mib")
    data = path.read_bytes()
    frame = len(data) // 8
    frames = np.stack(
        [
            np.frombuffer(data, np.uint8, 256 * 256, (k + 1) * frame - 256 * 256)
            for k in range(8)
        ]
    ).reshape(8, 256, 256)[:, ::-1]  # the file begins with the lowest row
    out = run_over(tmp_path, path, (128, 128))
    assert_equals_numpy(tmp_path, out, frames, (2, 4), (128, 128))


def test_the_arina_master_file(tmp_path):
    import h5py
    import hdf5plugin  # noqa: F401 - registers the decoder

    path = real("stem/arina/test_00_master.h5")
    with h5py.File(path) as master:
        group = master["entry/data"]
        frames = np.concatenate([group[key][...] for key in sorted(group)])
    out = run_over(tmp_path, path, (96, 96))
    assert_equals_numpy(tmp_path, out, frames, (4, 4), (96, 96))


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("movies/ti_heating_1691-1698", "*.png"),
        ("movies/au_liquid_cell", "*.tif"),
        ("movies/liquid_cell_lowdose", "*.tif"),
    ],
)
def test_a_folder_of_pictures(tmp_path, folder, pattern):
    from PIL import Image

    path = real(folder)
    pictures = [np.asarray(Image.open(p)) for p in sorted(path.glob(pattern))]
    frames = np.stack([p if p.ndim == 2 else p[..., 0] for p in pictures])
    out = run_over(tmp_path, path, (200, 210))
    assert_equals_numpy(tmp_path, out, frames, (len(frames),), (200, 210))
