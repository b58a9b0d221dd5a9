"""Formats of frames: what our own file detector, NumPy and zarr find in them."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from tests.adapters.file.playing import play
from tests.runs_made import frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.export.exporting import export
from scopeside.scan import Scan

SHAPE = (10, 12)
SCAN = Scan((3, 4), "snake", flyback=1)
CALIBRATION = {
    "beam_energy_eV": 300e3,
    "scan_step_m": 1e-10,
    "detector_rad_per_px": 2e-4,
}
FILES = {
    "hspy": ".hspy",
    "mib": ".mib",
    "nexus": ".nxs",
    "npy": ".npy",
    "npz": ".npz",
    "tiff": ".tif",
}
KEYS = {"nexus": {"key": "data"}, "npz": {"key": "data"}}


def scan_run(folder, dtype="<u2", scan=SCAN):
    acquisition = Acquisition(
        "s",
        SHAPE,
        np.dtype(dtype),
        kind="scan4d",
        frames=scan.frames,
        scan=scan,
        calibration=CALIBRATION,
    )
    pixels = frames_of(scan.frames, SHAPE, dtype)
    index = np.arange(scan.frames)
    parts = [slice(k, k + 4) for k in range(0, scan.frames, 4)]
    batches = [Batch(pixels[p], index[p], times_of(index[p])) for p in parts]
    return write_run(folder, acquisition, batches), pixels


def as_scanned(pixels):
    """Three rows of four frames and one of fly-back, the second row back."""
    return pixels[[[0, 1, 2, 3], [8, 7, 6, 5], [10, 11, 12, 13]]]


@pytest.mark.parametrize("kind", FILES)
def test_our_own_file_detector_plays_an_export(kind, tmp_path):
    run, pixels = scan_run(tmp_path / "run")
    export(run, kind, tmp_path)
    sink = play(tmp_path / f"s{FILES[kind]}", **KEYS.get(kind, {}))
    played = sink.frames().pixels
    np.testing.assert_array_equal(played.reshape(3, 4, *SHAPE), as_scanned(pixels))
    assert sink.acquisitions[0].scan.shape == (3, 4)


def test_our_own_file_detector_has_the_calibration_back(tmp_path):
    run, _ = scan_run(tmp_path / "run")
    export(run, "hspy", tmp_path)
    found = play(tmp_path / "s.hspy").acquisitions[0].calibration
    assert dict(found) == pytest.approx(CALIBRATION)


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_an_npz_has_frames_axes_and_facts(compression, tmp_path):
    run, pixels = scan_run(tmp_path / "run", "<f4")
    export(run, "npz", tmp_path, settings={"compression": compression})
    with np.load(tmp_path / "s.npz") as file:
        np.testing.assert_array_equal(file["data"], as_scanned(pixels))
        assert file["present"].all()
        assert file["index"][1].tolist() == [8, 7, 6, 5]
        assert file["axis_scan_x"].tolist() == pytest.approx([0, 1e-10, 2e-10, 3e-10])
        told = json.loads(str(file["meta"]))
    assert told["axes"]["detector_y"] == "rad"
    assert told["export"]["frames_absent"] == 0
    assert told["acquisition"]["calibration"]["beam_energy_eV"] == 300e3


@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<f4", "<i8"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_zarr_reads_named_axes_and_equal_pixels(compression, dtype, tmp_path):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    run, pixels = scan_run(tmp_path / "run", dtype)
    settings = {"compression": compression, "chunk": 3}
    export(run, "zarr", tmp_path, settings=settings)
    group = zarr.open_consolidated(str(tmp_path / "s.zarr"), mode="r")
    data = group["data"]
    assert data.dtype == np.dtype(dtype)
    assert data.chunks == (1, 3, *SHAPE)
    np.testing.assert_array_equal(data[:], as_scanned(pixels))
    assert data.fill_value is None  # xarray would make zeros of counts NaN
    names = data.attrs["_ARRAY_DIMENSIONS"]
    assert names == ["scan_y", "scan_x", "detector_y", "detector_x"]
    assert group["scan_y"][:].tolist() == pytest.approx([0, 1e-10, 2e-10])
    assert group["scan_y"].attrs["units"] == "m"
    assert group.attrs["acquisition"]["id"] == "s"


def test_an_npy_has_what_is_absent_beside_it(tmp_path):
    run, _ = scan_run(tmp_path / "run")
    export(run, "npy", tmp_path, frames=(12, 15))
    told = json.loads((tmp_path / "s.npy.json").read_text())
    assert told["export"]["frames"] == 2  # the third is one of fly-back
    assert np.load(tmp_path / "s.npy").shape == (2, *SHAPE)


def test_positions_are_a_list_with_their_rows_and_columns(tmp_path):
    visited = np.array([7, 0, 11], "<u4").tobytes()
    run, pixels = scan_run(
        tmp_path / "run", scan=Scan((3, 4), "positions", visited=visited)
    )
    export(run, "npz", tmp_path)
    with np.load(tmp_path / "s.npz") as file:
        np.testing.assert_array_equal(file["data"], pixels)
        assert file["position"].tolist() == [[1, 3], [0, 0], [2, 3]]


@pytest.mark.parametrize("kind", ["zarr", "tiff", "npy", "npz", "mib"])
def test_a_run_of_32_mib_takes_a_quarter_of_it_in_memory(kind, tmp_path):
    acquisition = Acquisition("big", (256, 256), np.dtype("<u2"))
    pixels = frames_of(8, (256, 256), "<u2")
    numbers = [np.arange(k, k + 8) for k in range(0, 256, 8)]
    batches = (Batch(pixels, index, times_of(index)) for index in numbers)
    run = write_run(tmp_path / "run", acquisition, batches)
    export(run, kind, tmp_path, frames=(0, 1))  # what is loaded at the first time
    tracemalloc.start()
    try:
        export(run, kind, tmp_path / "whole")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20 if kind == "mib" else peak < 8 << 20
