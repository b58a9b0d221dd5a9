"""Whatever somebody has named or said in a recording, the export can be read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.runs_made import frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.export.exporting import export
from scopeside.runs import manifest
from scopeside_adapters.exports.hdf5_tree import write_tree
from scopeside_adapters.exports.zarr_folder import ZarrFolder

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

TEXT = st.text(st.characters(), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
TREES = st.dictionaries(
    TEXT,
    st.recursive(
        PLAIN,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
        max_leaves=6,
    ),
    max_size=4,
)
HOSTILE = {
    "../../evil": {"..": {"x": 1}},
    ".": {"": None},
    "a/b": [1, "x", None],
    "a-b": 2**70,
    "long": "line\n" * 20_000,
    "n\0ul": "a\0b",
    "lone": "\ud800",
}


@given(TREES)
@example(HOSTILE)
def test_any_tree_becomes_groups_and_attributes_of_hdf5(tree):
    with h5py.File("tree", "w", driver="core", backing_store=False) as file:
        write_tree(file, tree)
        found = len(file) + len(file.attrs)
    assert found == len(tree)


def test_names_out_of_a_recording_are_no_names_of_files(tmp_path):
    folder = ZarrFolder(tmp_path / "z")
    folder.tree("said", {**HOSTILE, "frame": {"index": np.arange(3)}})
    folder.close()
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "z/.zgroup", "z/.zmetadata", "z/said/.zgroup", "z/said/.zattrs",
        "z/said/frame/.zgroup", "z/said/frame/index/.zarray", "z/said/frame/index/0",
    }  # fmt: skip
    said = json.loads((tmp_path / "z/said/.zattrs").read_text())
    assert said["../../evil"] == {"..": {"x": 1}}


@pytest.mark.parametrize("kind", ["hspy", "zspy", "nexus", "zarr", "tiff", "npz"])
def test_a_recording_that_says_hostile_things_is_exported(kind, tmp_path):
    acquisition = Acquisition("h", (4, 5), np.dtype("<u2"))
    index = np.arange(2)
    batch = Batch(frames_of(2, (4, 5), "<u2"), index, times_of(index))
    run = write_run(tmp_path / "run", acquisition, [batch])
    said = manifest.read(run)
    said["acquisition"] |= {"metadata": HOSTILE, "detector": "a\0b\ud800"}
    manifest.write(run, said)
    out = tmp_path / "out"
    out.mkdir()
    done = export(run, kind, out)
    assert {path.name for path in out.iterdir()} == {p.name for p in done.paths}
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_hyperspy_reads_what_was_said(kind, tmp_path):
    api = pytest.importorskip(f"rsciio.{kind}", reason="RosettaSciIO is not installed")
    said = {"stage": {"tilt": [1.0, 2.0]}, "note": None, "a/b": "x", "odd": [1, "y"]}
    acquisition = Acquisition("m", (4, 5), np.dtype("<u2"), metadata=said)
    index = np.arange(2)
    batch = Batch(frames_of(2, (4, 5), "<u2"), index, times_of(index))
    run = write_run(tmp_path / "run", acquisition, [batch])
    (path,) = export(run, kind, tmp_path).paths
    told = api.file_reader(str(path))[0]["original_metadata"]["scopeside"]
    found = told["acquisition"]["metadata"]
    assert found["stage"] == {"tilt": [1.0, 2.0]}
    assert found["note"] is None
