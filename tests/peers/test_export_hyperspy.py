"""RosettaSciIO, and so HyperSpy, opens what is exported, with the right axes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from tests.peers.exports import (
    DETECTOR,
    NAVIGATION,
    axes_of,
    movie_run,
    scan_run,
)

from scopeside.export.exporting import export
from scopeside.scan import Scan

pytestmark = pytest.mark.peers
rsciio = pytest.importorskip("rsciio", reason="RosettaSciIO is not installed")

READERS = {
    "hspy": "rsciio.hspy",
    "zspy": "rsciio.zspy",
    "nexus": "rsciio.nexus",
    "tiff": "rsciio.tiff",
    "mib": "rsciio.quantumdetector",
}
DTYPES = ["|u1", "<u2", "<u4", "<f4"]
SCANS = {
    "raster": Scan((4, 6)),
    "snake with fly-back": Scan((4, 6), "snake", flyback=2),
    "late start": Scan((3, 5), flyback=1, offset=4),
}


def read(kind, folder, made, **settings):
    """Export a run and read it as HyperSpy does; the first signal."""
    done = export(made.folder, kind, folder, settings=settings)
    more = {"nxdata_only": True} if kind == "nexus" else {}
    reader = importlib.import_module(READERS[kind])
    return reader.file_reader(str(done.paths[0]), **more)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["hspy", "zspy", "nexus", "tiff"])
def test_pixels_of_every_dtype_are_equal(kind, dtype, tmp_path):
    made = scan_run(tmp_path / "run", dtype, absent=(3, 4, 9))
    data = read(kind, tmp_path, made)["data"]
    assert data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(data, made.pixels)


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_a_merlin_file_has_equal_pixels(dtype, tmp_path):
    made = scan_run(tmp_path / "run", dtype, absent=(3,))
    data = read("mib", tmp_path, made)["data"]
    assert data.dtype == np.dtype(dtype).newbyteorder(">")
    np.testing.assert_array_equal(data, made.pixels)


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
@pytest.mark.parametrize("kind", READERS)
def test_a_scan_lies_as_the_beam_went(kind, scan, tmp_path):
    made = scan_run(tmp_path / "run", scan=scan)
    np.testing.assert_array_equal(read(kind, tmp_path, made)["data"], made.pixels)


@pytest.mark.parametrize("kind", READERS)
def test_a_movie_is_a_stack(kind, tmp_path):
    made = movie_run(tmp_path / "run", absent=(2,))
    np.testing.assert_array_equal(read(kind, tmp_path, made)["data"], made.pixels)


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_hyperspy_has_the_axes_and_the_microscope(kind, tmp_path):
    signal = read(kind, tmp_path, scan_run(tmp_path / "run"))
    assert axes_of(signal) == [*NAVIGATION, *DETECTOR]
    assert [one["navigate"] for one in signal["axes"]] == [True, True, False, False]
    tem = signal["metadata"]["Acquisition_instrument"]["TEM"]
    said = {key: tem[key] for key in ("beam_energy", "camera_length")}
    assert said == {"beam_energy": 200.0, "camera_length": 200.0}
    assert tem["convergence_angle"] == 20.0
    assert tem["Detector"]["Camera"] == {"exposure": 0.002, "name": "simulated"}
    general = signal["metadata"]["General"]
    assert (general["date"], general["time_zone"]) == ("2026-01-02", "UTC")


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_a_movie_has_seconds_and_nanometres(kind, tmp_path):
    signal = read(kind, tmp_path, movie_run(tmp_path / "run", absent=(2,)))
    assert axes_of(signal) == [
        ("time", 0.002, 0.0, "s"),
        ("y", 0.05, 0.0, "nm"),
        ("x", 0.05, 0.0, "nm"),
    ]


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_absent_frames_and_all_times_are_told(kind, tmp_path):
    made = scan_run(tmp_path / "run", absent=(3, 4, 9))
    told = read(kind, tmp_path, made)["original_metadata"]["scopeside"]
    assert told["export"]["frames_absent"] == 3
    assert told["export"]["fill_value"] == "0"
    np.testing.assert_array_equal(told["frame"]["present"], made.present)
    times = told["frame"]["timestamp_ns"]
    assert (times[~made.present] == -1).all()
    assert np.diff(times[0, :3]).tolist() == [2_000_000, 2_000_000]
    assert told["acquisition"]["scan"]["flyback"] == 2


def test_nexus_is_in_si_and_has_a_default_plot(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    signal = read("nexus", tmp_path, scan_run(tmp_path / "run"))
    assert [one[3] for one in axes_of(signal)] == ["m", "m", "rad", "rad"]
    assert axes_of(signal)[0][:2] == ("scan_y", 2e-10)
    assert axes_of(signal)[3][:3] == ("detector_x", 1e-4, -5.5e-4)
    with h5py.File(tmp_path / "scan-1.nxs") as file:
        data = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert data[data.attrs["signal"]].shape == (4, 6, 10, 12)
        instrument = file["entry/instrument"]
        assert instrument["source/energy"][()] == 200e3
        assert instrument["source/energy"].attrs["units"] == "eV"
        assert instrument["optics/semi_convergence_angle"][()] == 0.02


def test_a_tiff_has_the_size_of_a_pixel(tmp_path):
    signal = read("tiff", tmp_path, movie_run(tmp_path / "run"))
    assert [one[1:] for one in axes_of(signal)] == [
        (0.002, 0.0, "s"),
        (0.05, 0.0, "nm"),
        (0.05, 0.0, "nm"),
    ]
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(tmp_path / "movie-1.tif") as file:
        assert file.is_bigtiff
        across, down = file.pages.first.tags["XResolution"].value
        assert across / down == pytest.approx(1e-2 / 5e-11)


def test_a_merlin_file_has_the_times_of_its_frames(tmp_path):
    quantum = importlib.import_module("rsciio.quantumdetector")
    made = scan_run(tmp_path / "run", scan=Scan((4, 6)), absent=(3,))
    export(made.folder, "mib", tmp_path)
    _, headers = quantum.load_mib_data(
        str(tmp_path / "scan-1.mib"), return_headers=True
    )
    times = np.array([one[:-1] for one in quantum.parse_timestamps(headers)])
    steps = np.diff(times.astype("datetime64[ns]")).astype(np.int64)
    # The absent frame has the time of the one before it.
    assert steps[:5].tolist() == [2_000_000, 2_000_000, 0, 4_000_000, 2_000_000]
    assert set(quantum.parse_exposures(headers)) == {2.0}
    assert "Frames Absent (Number):\t1\n" in (tmp_path / "scan-1.hdr").read_text()


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_frames_can_be_read_lazily(kind, tmp_path):
    made = scan_run(tmp_path / "run")
    (path,) = export(made.folder, kind, tmp_path, settings={"chunk": 3}).paths
    reader = importlib.import_module(READERS[kind])
    data = reader.file_reader(str(path), lazy=True)[0]["data"]
    assert data.chunksize == (1, 3, 10, 12)
    frame = data[2, 4].compute(scheduler="synchronous")
    np.testing.assert_array_equal(frame, made.pixels[2, 4])


def test_uncompressed_chunks_of_a_given_size(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    made = scan_run(tmp_path / "run")
    data = read("hspy", tmp_path, made, chunk=4, compression="none")["data"]
    np.testing.assert_array_equal(data, made.pixels)
    with h5py.File(tmp_path / "scan-1.hspy") as file:
        dataset = file["Experiments/scan-1/data"]
        assert dataset.chunks == (1, 4, 10, 12)
        assert dataset.compression is None
