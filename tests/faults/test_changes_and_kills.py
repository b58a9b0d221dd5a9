"""Parameters change and processes die at random moments; every frame has its own."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from tests.faults.test_kills import (  # noqa: F401 - fixtures are found by name
    FRAMES,
    SCAN,
    pipeline,
    recorded,
    report_of,
    start,
)

import scopeside

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

KEY = "detectors.bf.disk"


def run_folder(folder):
    (found,) = (folder / "run" / "scopeside").iterdir()
    return found


@pytest.mark.parametrize("name", ["worker.stem.0", "collector"])
def test_each_frame_is_summed_with_the_parameters_of_its_time(
    tmp_path, request, name, kill
):
    rng = random.Random(4000 + kill)
    source = request.getfixturevalue("recorded")
    with start(tmp_path, request.getfixturevalue("pipeline")) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 100, "running")
        for number in range(6):
            disk = [rng.randrange(32), rng.randrange(40), rng.randrange(1, 9)]
            scopeside.set_params(
                "stem.virtual", {KEY: disk}, run=run_folder(tmp_path), timeout=0.0
            )
            time.sleep(rng.random() * 0.1)
            if number == 2:
                engine.kill(name)
        code = engine.wait()
    assert code == 0, engine.said
    report = report_of(tmp_path)
    assert [one["version"] for one in report["changes"]] == [2, 3, 4, 5, 6, 7]
    frames = np.load(source).astype(np.int64)
    y, x = np.mgrid[:32, :40]
    expected = frames[:, (y - 16) ** 2 + (x - 20) ** 2 <= 25].sum(1)
    for one in report["changes"]:
        row, column, radius = one["params"]["detectors"]["bf"]["disk"]
        held = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        expected[one["frame"] :] = frames[one["frame"] :, held].sum(1)
    with np.load(tmp_path / "results" / "stem.virtual.bf.npz") as found:
        np.testing.assert_array_equal(found["data"], expected.reshape(SCAN))
    assert report["ledger"]["stem"]["processed"] == FRAMES
