"""Every real .mib file, sent over the sockets, is what the file detector reads."""

import numpy as np
import pytest
from tests.adapters.file.playing import play
from tests.adapters.merlin.playing import played
from tests.real_data import real

pytestmark = pytest.mark.data

NAMES = [
    *(
        f"merlin_depths/{chips}_9_Frame_CounterDepth_{depth}_Rows_256{raw}"
        for chips in ("Single", "Quad")
        for depth, raw in ((1, ""), (1, "RAW"), (6, ""), (12, ""), (24, ""))
    ),
    "merlin_4x2/001_4x2_6bit",
    "merlin_4x2/002_4x2_6bit_roi128",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_real_file_over_the_wire_is_the_file(name):
    path = real(f"stem/{name}.mib")
    file = play(path)
    n = len(file.frames())
    sink, _ = played({"path": path, "frames": n})
    assert sink.ends == [("complete", "", n)]
    assert sink.rejects == sink.gaps == []
    for part in ("pixels", "index", "timestamp_ns"):
        np.testing.assert_array_equal(
            getattr(sink.frames(), part), getattr(file.frames(), part)
        )
