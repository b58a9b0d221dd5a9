"""Networks that users bring: what they say is put where it belongs in the frame."""

import sys

import numpy as np
import pytest

from scopeside.errors import ConfigError, MissingExtraError, ShapeError
from scopeside.messages import validate
from scopeside_processors.insitu.onnx_model import ModelParams, OnnxModel
from scopeside_processors.insitu.proposals import (
    ModelProposals,
    probability,
    segment,
    suppressed,
)

onnx = pytest.importorskip("onnx", reason="onnx makes the networks of these tests")
pytest.importorskip("onnxruntime", reason="onnxruntime runs them")

helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
ANY_SIZE = (1, 1, "h", "w")


def saved(path, nodes, given, gives, constants=()):
    """A network of `nodes` from x to y, as a file."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", FLOAT, given)],
        [helper.make_tensor_value_info("y", FLOAT, gives)],
        [onnx.numpy_helper.from_array(np.float32(v), k) for k, v in constants],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def brightness(tmp_path):
    """A map of the pixels themselves: what they are minus 10, as logits."""
    nodes = [helper.make_node("Sub", ["x", "ten"], ["y"])]
    path = tmp_path / "map.onnx"
    return saved(path, nodes, ANY_SIZE, (1, 1, "h", "w"), [("ten", 10)])


@pytest.fixture
def halved(tmp_path):
    """A map at half the resolution: the maximum of 2 by 2 pixels, as it is."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    ]
    path = tmp_path / "half.onnx"
    return saved(path, nodes, ANY_SIZE, (1, 1, "a", "b"))


def boxes(path, rows, size=(64, 64)):
    """A network that always gives `rows`, in frames of a fixed size."""
    rows = np.asarray(rows, np.float32)[None]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["all"], keepdims=0),
        helper.make_node("Mul", ["all", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["y"]),
    ]
    constants = [("rows", rows), ("zero", 0)]
    return saved(path, nodes, (1, 3, *size), rows.shape, constants)


def params(path, **more):
    return validate(ModelParams, {"path": str(path), **more}, where="model")


def proposals(path, **more):
    return ModelProposals(params(path, **{"normalise": "none", **more}))


# -- maps -----------------------------------------------------------------------------


def test_each_area_of_a_map_is_a_place(brightness):
    frame = np.zeros((40, 50), np.uint16)
    frame[10:13, 20:23] = 30
    frame[30, 5] = 12
    first, second = proposals(brightness).take(frame)
    assert (first.y, first.x) == (11, 21)
    assert first.radius_px == pytest.approx(np.sqrt(9 / np.pi))
    assert first.score == pytest.approx(1 / (1 + np.exp(-20)))
    assert (second.y, second.x) == (30, 5)
    assert second.score == pytest.approx(1 / (1 + np.exp(-2)))


def test_a_map_of_half_the_size_is_laid_over_the_frame(halved):
    frame = np.zeros((32, 32), np.float32)
    frame[9, 20] = 0.75
    (place,) = proposals(halved).take(frame)
    assert (place.y, place.x, place.score) == (8.5, 20.5, 0.75)


@pytest.mark.parametrize("shape", [(1, 1), (31, 33), (1030, 40), (40, 2100)])
def test_frames_of_any_size_are_covered_by_tiles(brightness, shape):
    frame = np.random.default_rng(5).uniform(0, 20, shape).astype(np.float32)
    model = OnnxModel(params(brightness, normalise="none", activation="sigmoid"))
    expected = 1 / (1 + np.exp(10 - frame.astype(np.float64)))
    np.testing.assert_allclose(probability(model, frame), expected, rtol=1e-5)
    marked = segment(model, frame)
    np.testing.assert_array_equal(marked, frame >= 10)


def test_an_empty_frame_has_no_places(brightness):
    assert proposals(brightness).take(np.zeros((64, 64), np.uint8)) == []


def test_two_channels_are_weighed_against_each_other(tmp_path):
    nodes = [
        helper.make_node("Neg", ["x"], ["background"]),
        helper.make_node("Concat", ["background", "x"], ["y"], axis=1),
    ]
    path = saved(tmp_path / "two.onnx", nodes, ANY_SIZE, (1, 2, "h", "w"))
    frame = np.array([[1.0, -1.0], [3.0, -3.0]], np.float32)
    model = OnnxModel(params(path, normalise="none"))
    np.testing.assert_allclose(
        probability(model, frame), 1 / (1 + np.exp(-2 * frame)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("normalise", "expected"), [("none", 7), ("mean", 1.75), ("standard", np.sqrt(3))]
)
def test_frames_are_normalised_as_asked(halved, normalise, expected):
    frame = np.array([[7, 3], [3, 3]], np.uint8).repeat(16, 0).repeat(16, 1)
    model = OnnxModel(params(halved, normalise=normalise, activation="none"))
    assert probability(model, frame).max() == pytest.approx(expected, rel=1e-6)


def test_a_flat_frame_can_be_normalised(halved):
    model = OnnxModel(params(halved, activation="none"))
    assert not probability(model, np.full((32, 32), 5, np.uint8)).any()


# -- boxes ----------------------------------------------------------------------------

#        x     y     w   h
LEFT = [10.5, 20.5, 6, 10]
RIGHT = [40.5, 21.5, 8, 8]


def test_boxes_with_an_object_score_are_places(tmp_path):
    rows = [
        [*LEFT, 0.9, 1.0, 0.1],
        [10.9, 20.1, 6, 10, 0.8, 1.0, 0.1],  # the same
        [*RIGHT, 0.8, 0.1, 0.75],
        [50, 50, 4, 4, 0.3, 1.0, 1.0],  # unlikely
        *[[0, 0, 1, 1, 0, 0, 0]] * 6,
    ]
    found = proposals(boxes(tmp_path / "v5.onnx", rows)).take(np.zeros((64, 64)))
    np.testing.assert_allclose(found, [(20, 10, 4, 0.9), (21, 40, 4, 0.6)], rtol=1e-6)
    only = proposals(tmp_path / "v5.onnx", classes=[1]).take(np.zeros((64, 64)))
    np.testing.assert_allclose(only, [(21, 40, 4, 0.6)], rtol=1e-6)


def test_boxes_on_their_side_have_no_object_score(tmp_path):
    rows = np.array([[*LEFT, 0.9], [*RIGHT, 0.7], *[[1, 1, 1, 1, 0]] * 6]).T
    found = proposals(boxes(tmp_path / "v8.onnx", rows)).take(np.zeros((64, 64)))
    np.testing.assert_allclose(found, [(20, 10, 4, 0.9), (21, 40, 4, 0.7)], rtol=1e-6)


def test_boxes_of_a_tile_lie_where_the_tile_lies_and_in_the_frame(tmp_path):
    rows = [[*LEFT, 0.9, 1.0], *[[0, 0, 1, 1, 0, 0]] * 6]
    model = proposals(boxes(tmp_path / "v5.onnx", rows))
    found = [(p.y, p.x) for p in model.take(np.zeros((64, 100)))]
    assert found == [(20, 10), (20, 46)]
    assert model.take(np.zeros((15, 20))) == []


def test_of_boxes_that_overlap_the_likeliest_stays():
    rows = np.array([[5, 5, 4, 4, 0.5], [5, 6, 4, 4, 0.9], [5, 9, 4, 4, 0.5]])
    assert suppressed(rows, 0.45) == [1, 2]
    assert suppressed(rows, 0.7) == [1, 0, 2]
    assert suppressed(rows[:0], 0.5) == []


# -- what cannot be -------------------------------------------------------------------


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "no.onnx"
    with pytest.raises(ConfigError, match="there is no file"):
        OnnxModel(params(path))
    path.write_bytes(b"no network at all")
    with pytest.raises(ConfigError, match=r"no\.onnx is no ONNX network"):
        OnnxModel(params(path))


@pytest.mark.parametrize(
    ("given", "gives", "message"),
    [
        ((1, 5, 8, 8), (1, 5, 8, 8), "takes 5 channels; expected 1 to 4"),
        ((4, 1, 8, 8), (4, 1, 8, 8), "takes 4 frames at a time; expected 1"),
        ((8, 8), (8, 8), r"of \[8, 8\]; expected float"),
        ((1, 3, 8, 8), (1, 3, 8, 8), r"gives y \[1, 3, 8, 8\]; expected a map"),
    ],
)
def test_a_network_of_another_shape_is_refused(tmp_path, given, gives, message):
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = saved(tmp_path / "odd.onnx", nodes, given, gives)
    with pytest.raises(ConfigError, match=message):
        OnnxModel(params(path))


def test_a_number_that_is_none_is_said(tmp_path):
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    path = saved(tmp_path / "log.onnx", nodes, ANY_SIZE, ANY_SIZE)
    with pytest.raises(ValueError, match="gave a number that is none"):
        proposals(path).take(np.full((8, 8), -1.0))


def test_boxes_are_no_segmentation_and_have_the_classes_they_have(tmp_path):
    rows = [[*LEFT, 0.9, 1.0], *[[0, 0, 1, 1, 0, 0]] * 6]
    path = boxes(tmp_path / "v5.onnx", rows)
    with pytest.raises(ConfigError, match="a segmentation needs a map"):
        segment(OnnxModel(params(path)), np.zeros((64, 64)))
    with pytest.raises(ConfigError, match="has 1 classes, from 0"):
        proposals(path, classes=[1]).take(np.zeros((64, 64)))
    narrow = boxes(tmp_path / "narrow.onnx", [[1, 2, 3, 4, 0.5]] * 6)
    with pytest.raises(ConfigError, match=r"gives boxes of \(6, 5\)"):
        proposals(narrow).take(np.zeros((64, 64)))


def test_a_frame_has_two_dimensions(brightness):
    with pytest.raises(ShapeError, match=r"a frame is \(height, width\)"):
        proposals(brightness).take(np.zeros((2, 8, 8)))


def test_without_onnxruntime_it_is_said_how_to_get_it(brightness, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"scopeside\[ml\]"):
        OnnxModel(params(brightness))
