"""LiberTEM opens what is exported: HDF5 of two kinds, .npy and .mib."""

from __future__ import annotations

import numpy as np
import pytest
from tests.peers.exports import movie_run, scan_run

from scopeside.export.exporting import export
from scopeside.scan import Scan

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]
api = pytest.importorskip("libertem.api", reason="LiberTEM is not installed")

SCAN = Scan((4, 6), "snake", flyback=2)


class Copy(api.UDF):
    """Keeps every frame."""

    def get_result_buffers(self):
        shape = tuple(self.meta.dataset_shape.sig)
        kept = self.buffer("nav", extra_shape=shape, dtype=self.meta.input_dtype)
        return {"frames": kept}

    def process_frame(self, frame):
        self.results.frames[:] = frame


@pytest.fixture(scope="module")
def context():
    with api.Context.make_with("inline") as made:
        yield made


def seen(context, kind, **where):
    dataset = context.load(kind, **where)
    found = context.run_udf(dataset, Copy())["frames"]
    return np.asarray(found.data), dataset


@pytest.mark.filterwarnings("ignore:Loading compressed HDF5")
@pytest.mark.parametrize(
    ("kind", "path"),
    [("hspy", "Experiments/scan-1/data"), ("nexus", "entry/data/data")],
)
@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<u4", "<f4"])
def test_hdf5_files_have_equal_frames(kind, path, dtype, context, tmp_path):
    made = scan_run(tmp_path / "run", dtype, SCAN, absent=(3, 9))
    done = export(made.folder, kind, tmp_path)
    frames, dataset = seen(context, "hdf5", path=str(done.paths[0]), ds_path=path)
    assert tuple(dataset.shape) == (4, 6, 10, 12)
    assert dataset.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(frames, made.pixels)


@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<u4", "<f4"])
def test_npy_files_have_equal_frames(dtype, context, tmp_path):
    made = scan_run(tmp_path / "run", dtype, SCAN, absent=(3, 9))
    export(made.folder, "npy", tmp_path)
    frames, dataset = seen(context, "npy", path=str(tmp_path / "scan-1.npy"))
    assert tuple(dataset.shape) == (4, 6, 10, 12)
    np.testing.assert_array_equal(frames, made.pixels)


@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<u4"])
def test_merlin_files_have_equal_frames_and_the_scan(dtype, context, tmp_path):
    made = scan_run(tmp_path / "run", dtype, SCAN, absent=(3, 9))
    export(made.folder, "mib", tmp_path)
    backends = pytest.importorskip("libertem.io.dataset.base")
    frames, dataset = seen(
        context,
        "mib",
        path=str(tmp_path / "scan-1.hdr"),
        io_backend=backends.BufferedBackend(),
    )
    assert tuple(dataset.shape) == (4, 6, 10, 12)
    # It shows the rows in the order in which they lie in the file: the last first.
    np.testing.assert_array_equal(frames[:, :, ::-1], made.pixels)


def test_a_movie_is_one_row_of_frames(context, tmp_path):
    made = movie_run(tmp_path / "run", "<u2", n=7)
    export(made.folder, "mib", tmp_path)
    frames, dataset = seen(context, "mib", path=str(tmp_path / "movie-1.hdr"))
    assert tuple(dataset.shape) == (1, 7, 10, 12)
    np.testing.assert_array_equal(frames[0, :, ::-1], made.pixels)
