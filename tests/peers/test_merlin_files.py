"""Raw .mib files against LiberTEM's reader: RosettaSciIO does not read them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.adapters.file.playing import play
from tests.real_data import real

pytestmark = [pytest.mark.peers, pytest.mark.data, pytest.mark.timeout(300)]


@pytest.mark.parametrize("chips", ["Single", "Quad"])
@pytest.mark.filterwarnings("ignore")
def test_raw_frames_are_what_libertem_reads(chips):
    api = pytest.importorskip("libertem.api", reason="LiberTEM is not installed")
    backends = pytest.importorskip("libertem.io.dataset.base")
    path = real(f"stem/merlin_depths/{chips}_9_Frame_CounterDepth_1_Rows_256RAW.mib")
    context = api.Context.make_with("inline")
    dataset = context.load(
        "mib",
        path=str(path.with_suffix(".hdr")),
        nav_shape=(9,),
        io_backend=backends.BufferedBackend(),
    )
    reference = context.run_udf(dataset, _Copy(api)())
    frames = np.asarray(reference["frames"].data).reshape(9, *dataset.shape.sig)
    got = play(path).frames().pixels
    np.testing.assert_array_equal(got, frames[:, ::-1])


def _Copy(api):
    class Copy(api.UDF):
        """Keeps every frame."""

        def get_result_buffers(self):
            shape = tuple(self.meta.dataset_shape.sig)
            return {"frames": self.buffer("nav", extra_shape=shape, dtype="f4")}

        def process_frame(self, frame):
            self.results.frames[:] = frame

    return Copy
