"""A network of the user's as a second source of candidates for nuclei."""

import numpy as np
import pytest
from tests.processors.test_insitu_proposals import ANY_SIZE, helper, saved

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.insitu.model_stage import ModelStage, StageParams
from scopeside_processors.insitu.nucleation import Nucleation
from scopeside_processors.insitu.stabilise import Drift

SHAPE = (96, 96)
AT = (60, 30)


@pytest.fixture
def bright(tmp_path):
    """A network that points at what has more than 100 counts."""
    nodes = [helper.make_node("Sub", ["x", "hundred"], ["y"])]
    return saved(
        tmp_path / "bright.onnx", nodes, ANY_SIZE, (1, 1, "h", "w"), [("hundred", 100)]
    )


def at(dy, dx):
    nothing = (0.0, 0.0), (0.0, 0.0)
    return Drift(dy, dx, nothing, 1.0, jumped=False, segment=0)


def frames(number):
    """Noise, with something that one network sees and no filter for dark disks."""
    movie = np.random.default_rng(3).poisson(20, (number, *SHAPE)).astype(np.uint16)
    movie[:, AT[0] - 1 : AT[0] + 2, AT[1] - 1 : AT[1] + 2] = 200
    return movie


def stage(path, **more):
    said = {"path": str(path), "normalise": "none", **more}
    return ModelStage(validate(StageParams, said, where="model"), SHAPE)


def test_it_is_asked_every_so_often_and_points_at_the_specimen(bright):
    network = stage(bright, every=3, average_frames=1)
    found = [network.take(f, at(2.0, -1.0), k) for k, f in enumerate(frames(6))]
    assert [len(p) for p in found] == [0, 0, 1, 0, 0, 1]
    (place,) = found[2]
    assert (place.y, place.x) == (AT[0] - 2, AT[1] + 1)
    assert place.score > 1


def test_it_sees_the_mean_along_the_drift(bright):
    network = stage(bright, every=8, average_frames=15)
    moving = [np.roll(f, (k, 0), (0, 1)) for k, f in enumerate(frames(8))]
    found = [network.take(f, at(float(k), 0.0), k) for k, f in enumerate(moving)]
    (place,) = found[-1]
    assert (place.y, place.x) == pytest.approx(AT, abs=0.01)


def events(params):
    about = Acquisition("a", SHAPE, np.dtype("u2"))
    checked = validate(Nucleation.Params, params, where="nucleation")
    processor = Nucleation(about, checked)
    index = np.arange(60)
    found = []
    for k, frame in enumerate(frames(60)):
        here = index[k : k + 1]
        processor.process(Batch(frame[None], here, here * 40_000_000))
        found += [r.data for r in processor.results() if r.name == "nucleation"]
    return [
        d for d in found if "y" in d and np.hypot(d["y"] - AT[0], d["x"] - AT[1]) < 4
    ]


def test_what_it_points_at_is_followed_and_not_believed_unseen(bright):
    still = {"correct_drift": False, "warm_up_frames": 20}
    assert events(still) == []
    model = {"path": str(bright), "normalise": "none"}
    found = events({**still, "model": model})
    assert found
    assert all(data["status"] != "confirmed" for data in found)


def test_it_keeps_the_laws(bright):
    model = {"path": str(bright), "normalise": "none", "every": 2}
    params = {"correct_drift": False, "warm_up_frames": 3, "model": model}
    check_processor(Nucleation, frames(10), params=params)
