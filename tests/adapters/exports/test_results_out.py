"""Results and channels as signals and tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from tests.runs_made import frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.collect.files import write
from scopeside.errors import ConfigError
from scopeside.export.exporting import export
from scopeside.result import Result, invalid
from scopeside.scan import Scan

CALIBRATION = {
    "scan_step_m": 1e-10,
    "detector_rad_per_px": 1e-3,
    "beam_energy_eV": 8e4,
}
TABLE = {"columns": ["id", "y"], "units": ["", "px"]}
BF = np.arange(6.0).reshape(2, 3)
SERIES = np.array([[1.5, 2.5], [3.5, 4.5], [0.0, 0.0]])
KEPT = np.array([[True, True], [True, True], [False, False]])
RESULTS = [
    Result("bf", BF, "image", used=6, axes=("scan_y", "scan_x"), units="counts"),
    Result("com", np.ones((2, 3, 2)), "image", axes=("scan_y", "scan_x", "yx")),
    Result("mean", np.ones((4, 5)), "image", axes=("y", "x")),
    Result("drift", SERIES, "series", axes=("frame", "yx"), units="px", mask=KEPT),
    Result("found", np.array([[1, 7], [2, 8]]), "table", meta=TABLE),
    Result("cube", np.ones((2, 2, 2)), "table", axes=("cluster", "y", "x")),
    Result("none", np.empty((0, 2)), "series", axes=("particle", "yx")),
    Result("last", np.array([4.0, 5.0]), "series", axes=("yx",), units="px"),
    Result("radius", 3.25, "scalar", units="px"),
    Result("seen", {"label": "nucleus", "at": [1, 2]}, "event"),
    invalid("lost", "no peak was found"),
]


@pytest.fixture
def run(tmp_path):
    acquisition = Acquisition(
        "r", (4, 5), np.dtype("<u2"), scan=Scan((2, 3)), calibration=CALIBRATION
    )
    index = np.arange(6)
    batch = Batch(frames_of(6, (4, 5), "<u2"), index, times_of(index))
    folder = write_run(tmp_path / "run", acquisition, [batch])
    for result in RESULTS:
        write(folder / "results", "chain", "p", result, {"acq": "r"})
    (folder / "channels").mkdir()
    np.savez(
        folder / "channels/heater.npz", times_ns=times_of([0, 1]), values=[20.0, 21.5]
    )
    return folder


@pytest.fixture
def out(run, tmp_path):
    return export(run, "results", tmp_path).paths[0]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def signal(path):
    rsciio = pytest.importorskip("rsciio.hspy", reason="RosettaSciIO is not installed")
    return rsciio.file_reader(str(path))[0]


def test_an_image_is_a_signal_in_nanometres(out):
    found = signal(out / "chain.p.bf.hspy")
    np.testing.assert_array_equal(found["data"], BF)
    axes = [(a["name"], a["units"], a["navigate"]) for a in found["axes"]]
    assert axes == [("scan_y", "nm", False), ("scan_x", "nm", False)]
    assert found["axes"][0]["scale"] == pytest.approx(0.1)
    assert found["metadata"]["Signal"]["quantity"] == "bf (counts)"
    tem = found["metadata"]["Acquisition_instrument"]["TEM"]
    assert tem["beam_energy"] == pytest.approx(80)
    told = found["original_metadata"]["scopeside"]["result"]
    assert (told["kind"], told["frames_used"]) == ("image", 6)


@pytest.mark.parametrize(
    ("name", "navigate", "units"),
    [
        ("com", [True, True, False], ["nm", "nm", None]),
        ("mean", [False, False], ["mrad", "mrad"]),
        ("drift", [True, False], [None, None]),
    ],
)
def test_other_arrays_are_signals_over_their_places(name, navigate, units, out):
    axes = signal(out / f"chain.p.{name}.hspy")["axes"]
    assert [axis["navigate"] for axis in axes] == navigate
    assert [axis["units"] for axis in axes] == units


def test_a_table_of_more_than_two_axes_is_a_signal(out):
    assert signal(out / "chain.p.cube.hspy")["data"].shape == (2, 2, 2)
    assert not (out / "chain.p.cube.csv").exists()


def test_a_series_without_rows_is_a_table_without_rows(out):
    assert rows_of(out / "chain.p.none.csv") == [["y", "x"]]
    assert not (out / "chain.p.none.hspy").exists()


def test_what_does_not_stand_is_empty_in_a_table(out):
    assert rows_of(out / "chain.p.drift.csv") == [
        ["frame", "y [px]", "x [px]"],
        ["0", "1.5", "2.5"],
        ["1", "3.5", "4.5"],
        ["2", "", ""],
    ]


def test_one_vector_is_one_row(out):
    assert rows_of(out / "chain.p.last.csv") == [["y [px]", "x [px]"], ["4.0", "5.0"]]


def test_a_table_has_its_columns_with_units(out):
    assert rows_of(out / "chain.p.found.csv") == [
        ["id", "y [px]"],
        ["1", "7"],
        ["2", "8"],
    ]


def test_numbers_events_and_channels_are_tables(out):
    assert rows_of(out / "chain.p.radius.csv") == [["radius [px]"], ["3.25"]]
    assert rows_of(out / "chain.p.seen.csv")[1:] == [
        ["label", "nucleus"],
        ["at", "[1, 2]"],
    ]
    assert rows_of(out / "channel.heater.csv")[1:] == [
        [str(times_of(0)), "20.0"],
        [str(times_of(1)), "21.5"],
    ]


def test_parquet_has_the_same_with_units_and_nulls(out):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = parquet.read_table(out / "chain.p.drift.parquet")
    assert table.to_pydict() == {
        "frame": [0, 1, 2],
        "y": [1.5, 3.5, None],
        "x": [2.5, 4.5, None],
    }
    assert table.schema.field("y").metadata == {b"unit": b"px"}


def test_the_overview_lists_all_and_says_why_one_is_not_there(out):
    rows = {row[0]: row for row in rows_of(out / "results.csv")[1:]}
    assert len(rows) == len(RESULTS) + 1
    assert rows["chain.p.lost"][2:4] == ["no", "no peak was found"]
    assert "chain.p.bf.hspy" in rows["chain.p.bf"][5]


def test_a_damaged_result_is_named_and_harms_no_other(run, tmp_path):
    (run / "results/chain.p.com.npz").write_bytes(b"PK\x03\x04 no")
    done = export(run, "results", tmp_path)
    assert any("chain.p.com.npz cannot be read" in note for note in done.notes)
    assert (done.paths[0] / "chain.p.bf.hspy").exists()


def test_pickled_arrays_are_not_loaded(run, tmp_path):
    np.savez(run / "results/chain.p.evil.npz", data=np.array([{}]), meta="{}")
    done = export(run, "results", tmp_path)
    assert any("chain.p.evil.npz cannot be read" in note for note in done.notes)


def test_a_run_without_results_says_so(tmp_path):
    acquisition = Acquisition("r", (4, 5), np.dtype("<u2"))
    run = write_run(tmp_path / "run", acquisition, [])
    with pytest.raises(ConfigError, match="holds no results and no channels"):
        export(run, "results", tmp_path)
