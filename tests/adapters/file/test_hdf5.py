"""HDF5 files, those of DECTRIS among them."""

from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, detector, play, series

FRAMES = series((12, 8, 9), "u4") << 20  # would not survive in 16 bits


def write_master(folder, triggers=3, images=4, files=3):
    """Write a master file and `files` files of equal length, as a DECTRIS does."""
    with h5py.File(folder / "run_master.h5", "w") as master:
        group = master.create_group("entry/data")
        for i, part in enumerate(np.split(FRAMES, files), start=1):
            name = f"run_data_{i:06d}.h5"
            with h5py.File(folder / name, "w") as data:
                data.create_dataset(
                    "entry/data/data",
                    data=part,
                    chunks=(1, 8, 9),
                    **hdf5plugin.Bitshuffle(cname="lz4"),
                )
            group[f"data_{i:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        said = "entry/instrument/detector/detectorSpecific"
        master[f"{said}/nimages"] = np.uint64(images)
        master[f"{said}/ntrigger"] = np.uint64(triggers)
        master[f"{said}/photon_energy"] = 300_000.0
        master["entry/instrument/detector/frame_time"] = 1e-4
    return folder / "run_master.h5"


def test_a_master_file_joins_its_data_files(tmp_path):
    sink = play(write_master(tmp_path))
    assert_delivers(sink, FRAMES)
    assert sink.acquisitions[0].scan_shape == (3, 4)
    assert sink.acquisitions[0].calibration == pytest.approx(
        {"beam_energy_eV": 300_000, "frame_time_s": 1e-4}
    )


def test_the_file_beside_the_master_tells_the_scan(tmp_path):
    path = write_master(tmp_path, triggers=12, images=1)
    with h5py.File(tmp_path / "run.h5", "w") as beside:
        group = beside.create_group("STEM Metadata")
        group.attrs["NumPixelsX"], group.attrs["NumPixelsY"] = 6, 2
    assert play(path).acquisitions[0].scan_shape == (2, 6)


def test_no_scan_is_invented_for_a_master_file(tmp_path):
    sink = play(write_master(tmp_path, triggers=1, images=12))
    assert sink.acquisitions[0].scan_shape is None


def test_a_missing_data_file_ends_the_series_before_it(tmp_path):
    path = write_master(tmp_path)
    (tmp_path / "run_data_000002.h5").unlink()
    sink = play(path)
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:4])
    assert sink.acquisitions[0].frames == 12
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 4)
    assert "entry/data/data_000002 of run_master.h5 cannot be opened" in reason


def test_a_master_file_that_promises_more_frames_fails_at_the_end(tmp_path):
    sink = play(write_master(tmp_path, triggers=5))
    assert sink.ends == [("failed", "run_master.h5 ends after 12 of 20 frames", 12)]


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", ">f4", "f8", "?"])
@pytest.mark.parametrize("shape", [(7, 5, 4), (2, 3, 5, 4)])
def test_the_only_data_set_of_frames_is_found(tmp_path, shape, dtype):
    array = series(shape, dtype)
    with h5py.File(tmp_path / "any.h5", "w") as file:
        file["results/frames"] = array
        file["results/axis"] = np.arange(7)
    sink = play(tmp_path / "any.h5")
    frames = array.reshape(-1, 5, 4)
    assert_delivers(sink, frames.astype("u1") if dtype == "?" else frames)
    assert sink.acquisitions[0].scan_shape == (shape[:2] if len(shape) == 4 else None)


def test_key_names_a_data_set(tmp_path):
    with h5py.File(tmp_path / "any.h5", "w") as file:
        file["a"] = (frames := series((7, 5, 4)))
        file["b"] = frames + 1
        file["c"] = frames[0]
    assert_delivers(play(tmp_path / "any.h5", key="b"), frames + 1)
    assert_delivers(play(tmp_path / "any.h5", key="c"), frames[:1])
    [problem] = detector(tmp_path / "any.h5").check()
    assert "it holds /a (7, 5, 4), /b (7, 5, 4); choose one with key" in problem
    [problem] = detector(tmp_path / "any.h5", key="d").check()
    assert "it has no data set 'd'; it holds /a (7, 5, 4), /b" in problem


def test_a_damaged_chunk_ends_the_series_before_it(tmp_path):
    path = write_master(tmp_path, files=1)
    with h5py.File(tmp_path / "run_data_000001.h5", "r+") as data:
        frames = data["entry/data/data"]
        frames.id.write_direct_chunk((7, 0, 0), b"\xff" * 40)
    sink = play(path)
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 6)
    assert "frames 6 to 8 cannot be unpacked" in reason
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:6])


def test_complex_data_are_not_taken_for_frames(tmp_path):
    with h5py.File(tmp_path / "wave.h5", "w") as file:
        file["wave"] = np.ones((3, 4, 5), complex)
    [problem] = detector(tmp_path / "wave.h5", key="wave").check()
    assert "its pixels are complex" in problem


def test_a_text_called_h5_is_refused(tmp_path):
    (tmp_path / "any.h5").write_text("this is no HDF5 file")
    [problem] = detector(tmp_path / "any.h5").check()
    assert "as HDF5: it begins with b'this is '" in problem
