"""Bare pixels: EMPAD files, and what is described."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.adapters.file.playing import assert_delivers, detector, play, series

from scopeside.errors import SourceError

XML = """<root><raw_file filename="{name}" /><scan_parameters mode="search">
<scan_resolution_x>7</scan_resolution_x><scan_resolution_y>7</scan_resolution_y>
</scan_parameters><scan_parameters mode="acquire"><scan_resolution_x>3
</scan_resolution_x><scan_resolution_y>2</scan_resolution_y></scan_parameters></root>"""


def empad(path, n=6):
    """Write an EMPAD file, and return its images."""
    whole = series((n, 130, 128), "<f4")
    path.write_bytes(whole.tobytes())
    return whole[:, :128]


def test_an_empad_file_has_its_scan_from_the_xml_that_names_it(tmp_path):
    frames = empad(tmp_path / "scan.raw")
    (tmp_path / "acquisition.xml").write_text(XML.format(name="scan.raw"))
    sink = play(tmp_path / "scan.raw")
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].scan.shape == (2, 3)


@pytest.mark.parametrize(
    "xml",
    [
        "<root><pix_x>3</pix_x><pix_y>2</pix_y></root>",
        '<root><pix_x value="3"/><pix_y value="2"/></root>',
    ],
)
def test_the_older_xml_is_understood(tmp_path, xml):
    empad(tmp_path / "scan.raw")
    (tmp_path / "scan.xml").write_text(xml)
    assert play(tmp_path / "scan.raw").acquisitions[0].scan.shape == (2, 3)


def test_a_series_is_no_scan(tmp_path):
    empad(tmp_path / "scan.raw")
    (tmp_path / "scan.xml").write_text(
        "<root><series_count>6</series_count><pix_x>3</pix_x><pix_y>2</pix_y></root>"
    )
    assert play(tmp_path / "scan.raw").acquisitions[0].scan is None


def test_the_name_tells_the_scan_where_nothing_else_does(tmp_path):
    empad(tmp_path / "scan_x3_y2.raw")
    assert play(tmp_path / "scan_x3_y2.raw").acquisitions[0].scan.shape == (2, 3)


def test_a_file_that_is_no_empad_must_be_described(tmp_path):
    frames = series((7, 5, 4), ">u2")
    path = tmp_path / "camera.raw"
    path.write_bytes(b"head" + frames.tobytes())
    with pytest.raises(SourceError, match="no whole number of EMPAD frames"):
        play(path)
    raw = {"shape": [5, 4], "dtype": ">u2", "header_bytes": 4}
    assert_delivers(play(path, raw=raw), frames)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "shape"),
        ({"shape": [0, 4]}, "greater than or equal to 1"),
        ({"shape": [5, 4], "dtype": "u2,u2"}, "plain numbers"),
        ({"shape": [5, 4], "header_bytes": -1}, "greater than or equal to 0"),
    ],
)
def test_a_layout_that_means_nothing_is_refused(tmp_path, raw, message):
    with pytest.raises(ValidationError, match=message):
        detector(tmp_path / "a.raw", raw=raw)
