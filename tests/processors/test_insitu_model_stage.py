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


def run(params):
    """What is proposed at the place, frame by frame, and the states of all events."""
    about = Acquisition("a", SHAPE, np.dtype("u2"))
    still = {"correct_drift": False, "warm_up_frames": 20}
    checked = validate(Nucleation.Params, {**still, **params}, where="nucleation")
    processor = Nucleation(about, checked)
    index = np.arange(40)
    proposed, states = [], set()
    for k, frame in enumerate(frames(40)):
        here = index[k : k + 1]
        processor.process(Batch(frame[None], here, here * 40_000_000))
        states |= {r.data["status"] for r in processor.results() if r.kind == "event"}
        places = processor._evidence.proposals()
        proposed.append(any(np.hypot(p.y - AT[0], p.x - AT[1]) < 2 for p in places))
    return proposed, states


def test_what_it_points_at_is_a_proposal_but_not_believed_unseen(bright):
    proposed, _ = run({})
    assert not any(proposed)
    model = {"path": str(bright), "normalise": "none", "every": 4}
    proposed, states = run({"model": model})
    assert [k for k, there in enumerate(proposed) if there] == list(range(3, 40, 4))
    assert "confirmed" not in states


def test_it_keeps_the_laws(bright):
    model = {"path": str(bright), "normalise": "none", "every": 2}
    params = {"correct_drift": False, "warm_up_frames": 3, "model": model}
    check_processor(Nucleation, frames(10), params=params)
