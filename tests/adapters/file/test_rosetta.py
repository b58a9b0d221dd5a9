"""Formats that only RosettaSciIO reads."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, detector, play, series

from scopeside.errors import MissingExtraError, SourceError
from scopeside_adapters.file import rosetta
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.frames import FrameLostError
from scopeside_adapters.file.rosetta import LazyFrames

pytest.importorskip("rsciio")


def write_hspy(path, data, units, scales=None, **metadata):
    """Write a HyperSpy file; the last two axes are the frame."""
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": f"axis {i}",
            "size": size,
            "scale": 1.0 if scales is None else scales[i],
            "offset": 0.0,
            "units": units[i],
            "navigate": i < data.ndim - 2,
            "index_in_array": i,
            "is_binned": False,
        }
        for i, size in enumerate(data.shape)
    ]
    signal = {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": ""}, "Signal": {}, **metadata},
        "original_metadata": {},
        "learning_results": {},
        "tmp_parameters": {},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "tests", "package_version": "0"},
        "models": {},
    }
    pytest.importorskip("rsciio.hspy").file_writer(str(path), signal)
    return path


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f4"])
def test_a_hyperspy_scan_is_delivered_as_it_was_written(tmp_path, dtype):
    scan = series((2, 5, 8, 6), dtype)
    sink = play(write_hspy(tmp_path / "scan.hspy", scan, ["nm", "nm", "mrad", "mrad"]))
    assert_delivers(sink, scan.reshape(10, 8, 6))
    assert sink.acquisitions[0].scan_shape == (2, 5)


def test_what_the_file_says_in_known_units_is_calibration(tmp_path):
    path = write_hspy(
        tmp_path / "scan.hspy",
        series((2, 5, 8, 6)),
        ["nm", "nm", "mrad", "mrad"],
        [0.5, 0.5, 2.0, 2.0],
        General={"title": "gold"},
        Acquisition_instrument={"TEM": {"beam_energy": 300.0}},
    )
    acquisition = play(path).acquisitions[0]
    assert acquisition.calibration == pytest.approx(
        {"scan_step_m": 5e-10, "detector_rad_per_px": 2e-3, "beam_energy_eV": 3e5}
    )
    assert acquisition.metadata["title"] == "gold"


def test_what_is_said_in_unknown_units_is_left_out(tmp_path):
    path = write_hspy(
        tmp_path / "scan.hspy", series((2, 5, 8, 6)), ["", "px", "1/nm", "1/nm"]
    )
    assert play(path).acquisitions[0].calibration == {}


def test_a_movie_has_frame_time_and_pixel_size(tmp_path):
    path = write_hspy(
        tmp_path / "movie.hspy",
        frames := series((7, 8, 6)),
        ["ms", "nm", "nm"],
        [40.0, 0.2, 0.2],
    )
    sink = play(path)
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].calibration == pytest.approx(
        {"frame_time_s": 0.04, "pixel_size_m": 2e-10}
    )


@pytest.mark.parametrize("limit", [1, 96 * 3, 96 * 5, 96 * 7, 96 * 12, 1 << 20])
def test_the_size_of_the_blocks_does_not_matter(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(rosetta, "_BLOCK", limit)
    scan = series((4, 5, 8, 6))
    path = write_hspy(tmp_path / "scan.hspy", scan, [""] * 4)
    assert_delivers(play(path), scan.reshape(20, 8, 6))


def test_no_block_is_larger_than_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(rosetta, "_BLOCK", 96 * 7)
    path = write_hspy(tmp_path / "scan.hspy", series((4, 5, 8, 6)), [""] * 4)
    with open_frames(path) as frames:
        assert isinstance(frames, LazyFrames)
        frames.read_into(0, np.empty((20, 8, 6), "u2"))
        assert len(frames._block) == 5


def test_a_frame_that_cannot_be_computed_is_named(tmp_path):
    path = write_hspy(tmp_path / "scan.hspy", series((4, 5, 8, 6)), [""] * 4)
    with open_frames(path) as frames:
        frames._data = frames._data.map_blocks(fail, dtype="u2")
        with pytest.raises(FrameLostError, match="frame 0 cannot be read: broken"):
            frames.read_into(0, np.empty((2, 8, 6), "u2"))


def fail(block):
    raise OSError("broken")


def test_spectra_are_no_frames(tmp_path):
    pytest.importorskip("rsciio.msa")
    path = tmp_path / "spectrum.msa"
    path.write_text(
        "#FORMAT : EMSA/MAS Spectral Data File\n#VERSION : 1.0\n#NPOINTS : 3\n"
        "#NCOLUMNS : 1\n#XUNITS : eV\n#YUNITS : counts\n#DATATYPE : Y\n"
        "#XPERCHAN : 1\n#OFFSET : 0\n#SPECTRUM :\n1\n2\n3\n#ENDOFDATA :\n"
    )
    [problem] = detector(path).check()
    assert "it holds no images" in problem


def test_garbage_names_the_file_the_format_and_the_reader(tmp_path):
    (tmp_path / "movie.ser").write_bytes(b"garbage" * 100)
    with pytest.raises(SourceError, match=r"movie.ser as .*RosettaSciIO: as TIA: "):
        play(tmp_path / "movie.ser")


def test_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "movie.xyz").write_bytes(b"garbage")
    with pytest.raises(SourceError, match=r"no reader is known for the suffix '.xyz'"):
        play(tmp_path / "movie.xyz")


@pytest.mark.parametrize(
    ("library", "suffix", "content"),
    [("rsciio", ".dm4", b"x"), ("h5py", ".h5", b"\x89HDF\r\n\x1a\n")],
)
def test_without_the_extra_the_message_says_which(
    tmp_path, monkeypatch, library, suffix, content
):
    path = (tmp_path / "movie").with_suffix(suffix)
    path.write_bytes(content)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"scopeside\[formats\]"):
        play(path)
    [problem] = detector(path).check()
    assert f"reading movie{suffix} needs" in problem
