"""Real data sets, compared with what another library reads from the same bytes."""

from __future__ import annotations

import h5py
import hdf5plugin  # noqa: F401 - registers the compression of the ARINA file
import numpy as np
import pytest
from PIL import Image
from tests.adapters.file.playing import assert_delivers, play
from tests.real_data import real

pytestmark = pytest.mark.data


def records(path, offset, head, dtype, shape):
    """Read frames of `shape`, each behind `head` bytes, by plain arithmetic."""
    record = np.dtype([("head", f"V{head}"), ("pixels", dtype, shape)])
    return np.fromfile(path, record, offset=offset)["pixels"]


def pictures(folder):
    return np.stack([np.asarray(Image.open(p)) for p in sorted(folder.iterdir())])


def test_astar_scan():
    path = real("stem/astar_3x2_144x144_u8.blo")
    sink = play(path)
    assert_delivers(sink, records(path, 4112, 6, "u1", (144, 144)))
    acquisition = sink.acquisitions[0]
    # (rows, columns): HyperSpy prints x first, as (2, 3|144, 144).
    assert acquisition.scan_shape == (3, 2)
    assert acquisition.dtype == np.uint8
    assert acquisition.calibration["beam_energy_eV"] == 200_000


@pytest.mark.parametrize(
    ("name", "rows"), [("001_4x2_6bit", 256), ("002_4x2_6bit_roi128", 128)]
)
def test_merlin_scan(name, rows):
    path = real(f"stem/merlin_4x2/{name}.mib")
    sink = play(path)
    assert_delivers(sink, records(path, 0, 384, "u1", (rows, 256))[:, ::-1])
    assert sink.acquisitions[0].scan_shape == (2, 4)
    np.testing.assert_allclose(
        np.diff(sink.frames().timestamp_ns)[[0, 1, 2, 4, 5, 6]], 0.102e9, rtol=0.01
    )


@pytest.mark.parametrize("chips", ["Single", "Quad"])
@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize(
    ("depth", "dtype"), [(1, ">u1"), (6, ">u1"), (12, ">u2"), (24, ">u4")]
)
def test_merlin_depths(chips, frames, depth, dtype):
    name = f"{chips}_{frames}_Frame_CounterDepth_{depth}_Rows_256.mib"
    path = real(f"stem/merlin_depths/{name}")
    head, size = (384, 256) if chips == "Single" else (768, 512)
    sink = play(path)
    assert_delivers(sink, records(path, 0, head, dtype, (size, size))[:, ::-1])
    assert len(sink.frames()) == frames
    assert sink.acquisitions[0].scan_shape is None


@pytest.mark.parametrize("name", ["001_4x2_6bit", "002_4x2_6bit_roi128"])
def test_merlin_scan_is_what_rosettasciio_gives(name):
    path = real(f"stem/merlin_4x2/{name}.mib")
    reader = pytest.importorskip("rsciio.quantumdetector")
    reference = reader.file_reader(str(path))[0]["data"]
    sink = play(path)
    assert sink.acquisitions[0].scan_shape == reference.shape[:2]
    assert_delivers(sink, reference.reshape(-1, *reference.shape[2:]))


@pytest.mark.parametrize("chips", ["Single", "Quad"])
@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize("depth", [1, 6, 12, 24])
def test_merlin_depths_are_what_rosettasciio_gives(chips, frames, depth):
    path = real(
        f"stem/merlin_depths/{chips}_{frames}_Frame_CounterDepth_{depth}_Rows_256.mib"
    )
    reader = pytest.importorskip("rsciio.quantumdetector")
    reference = np.asarray(reader.file_reader(str(path))[0]["data"])
    assert_delivers(play(path), reference.reshape(frames, *reference.shape[-2:]))


@pytest.mark.parametrize("chips", ["Single", "Quad"])
def test_raw_merlin_frames_have_the_hot_pixels_of_the_processed_ones(chips):
    # No frame was saved in both forms, but the same pixels count in the same dark.
    name = f"stem/merlin_depths/{chips}_9_Frame_CounterDepth_1_Rows_256"
    raw = play(real(f"{name}RAW.mib")).frames().pixels.sum(axis=0, dtype=float)
    processed = play(real(f"{name}.mib")).frames().pixels.sum(axis=0, dtype=float)
    assert np.corrcoef(raw.ravel(), processed.ravel())[0, 1] > 0.99


def test_arina_scan():
    path = real("stem/arina/test_00_master.h5")
    sink = play(path)
    with h5py.File(path.with_name("test_00_data_000001.h5")) as file:
        assert_delivers(sink, file["entry/data/data"][()])
    acquisition = sink.acquisitions[0]
    assert acquisition.frame_shape == (192, 192)
    assert acquisition.scan_shape == (4, 4)
    assert acquisition.dtype == np.uint32
    assert acquisition.calibration["beam_energy_eV"] == 300_000


def test_tvips_series():
    path = real("movies/tvips_6x4x5.tvips")
    sink = play(path)
    assert_delivers(sink, records(path, 256, 60, "<u2", (4, 5)))
    assert sink.frames().pixels.shape == (6, 4, 5)


def test_tia_series():
    path = real("movies/diffraction_5x128x128.ser")
    sink = play(path)
    # Version 0x220: the table of offsets is found at byte 22, and has 64-bit words;
    # the pixels of each frame lie behind 50 bytes.
    [table] = np.fromfile(path, "<i8", 1, offset=22)
    starts = np.fromfile(path, "<i8", 5, offset=int(table))
    pixels = [
        np.fromfile(path, "<i4", 128 * 128, offset=int(start) + 50) for start in starts
    ]
    reference = np.stack(pixels).reshape(5, 128, 128)[:, ::-1]  # readers flip the rows
    assert_delivers(sink, reference)
    assert sink.acquisitions[0].calibration == {}  # its unit is not what it says


def test_heating_movie():
    folder = real("movies/ti_heating_1691-1698")
    colour = pictures(folder)
    assert colour.shape == (8, 550, 420, 4)
    assert_delivers(play(folder), colour[..., 1])  # red, green and blue are the same


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("au_liquid_cell", (50, 512, 512), "u2"),
        ("liquid_cell_lowdose", (100, 512, 512), "u1"),
        ("radiolysis_lowdose", (4, 512, 512), "u2"),
    ],
)
def test_liquid_cell_movies(name, shape, dtype):
    folder = real(f"movies/{name}")
    sink = play(folder)
    reference = pictures(folder)
    assert reference.shape == shape
    assert_delivers(sink, reference)
    assert sink.acquisitions[0].dtype == np.dtype(dtype)
    assert sink.frames().pixels.sum(dtype=np.int64) == reference.sum(dtype=np.int64)


def test_simulated_graphene_scan():
    path = real("stem/simulated/graphene80.npz")
    sink = play(path, key="counts")
    with np.load(path) as arrays:
        assert_delivers(sink, arrays["counts"].reshape(-1, 64, 64))
    assert sink.acquisitions[0].scan_shape == (64, 64)


def test_cross_grating_is_one_frame():
    path = real("stem/au_xgrating_20cm.tif")
    assert_delivers(play(path), np.asarray(Image.open(path))[None])
