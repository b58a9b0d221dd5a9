"""Files of cameras as other people's readers see them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.adapters.file.playing import play

from scopeside_adapters.file.watch.simulator import WatchSimulator, frames_of

pytestmark = pytest.mark.peers


def written(path, **settings):
    """Have the simulated camera write a file; return its frames."""
    table = {"path": path, "frames": 6, "fps": None, "shape": [32, 48], **settings}
    params = WatchSimulator.Params.model_validate(table)
    WatchSimulator(params).run(lambda text: None)
    return np.stack(list(frames_of(params)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_libertem_reads_the_same_seq(tmp_path, dtype):
    reason = "libertem is not installed"
    api = pytest.importorskip("libertem.api", reason=reason)
    seq = pytest.importorskip("libertem.io.dataset.seq", reason=reason)
    path = tmp_path / "a.seq"
    frames = written(path, dtype=dtype)
    executor = pytest.importorskip("libertem.executor.inline", reason=reason)
    context = api.Context(executor=executor.InlineJobExecutor())
    dataset = seq.SEQDataSet(path=str(path), nav_shape=(6,))
    dataset = dataset.initialize(context.executor)
    read = context.run_udf(dataset, pick_all()())["intensity"].data
    np.testing.assert_array_equal(read, frames)
    np.testing.assert_array_equal(play(path).frames().pixels, frames)


def pick_all():
    from libertem.udf.raw import PickUDF

    return PickUDF


def test_rosettasciio_reads_the_same_empad_file(tmp_path):
    empad = pytest.importorskip("rsciio.empad", reason="RosettaSciIO is not installed")
    path = tmp_path / "scan_x3_y2.raw"
    frames = written(path, shape=[128, 128], dtype="float32")
    (tmp_path / "scan.xml").write_text(
        '<root><raw_file filename="scan_x3_y2.raw" /><timestamp '
        'isoformat="2024-05-01T10:00:00" /><pix_x>3</pix_x><pix_y>2</pix_y></root>'
    )
    (signal,) = empad.file_reader(str(tmp_path / "scan.xml"))
    sink = play(path)
    np.testing.assert_array_equal(signal["data"].reshape(-1, 128, 128), frames)
    np.testing.assert_array_equal(sink.frames().pixels, frames)
    assert sink.acquisitions[0].scan.shape == signal["data"].shape[:2]


def test_rosettasciio_reads_the_same_tvips_sequence(tmp_path):
    tvips = pytest.importorskip("rsciio.tvips", reason="RosettaSciIO is not installed")
    path = tmp_path / "a_000.tvips"
    frames = written(path, shape=[48, 48])
    (signal,) = tvips.file_reader(str(path))
    np.testing.assert_array_equal(signal["data"].reshape(frames.shape), frames)


def test_mrcfile_reads_the_same_stack(tmp_path):
    mrcfile = pytest.importorskip("mrcfile", reason="mrcfile is not installed")
    path = tmp_path / "a.mrc"
    frames = written(path)
    data = bytearray(path.read_bytes())
    data[8:12] = len(frames).to_bytes(4, "little")  # as the camera does at the end
    path.write_bytes(data)
    with mrcfile.open(path, permissive=True) as file:
        np.testing.assert_array_equal(file.data, frames)
