"""The newest frame as the camera sent it."""

import numpy as np
import pytest

from scopeside import plugins
from scopeside.acquisition import Acquisition
from scopeside.apply import apply
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.events import EventBatch, pack_events
from scopeside.messages import validate
from scopeside.packed import pack_frames
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.stem.frame import Frame

FRAMES = np.random.default_rng(2026).poisson(3, (12, 5, 7)).astype(np.uint16)


def new(frames=FRAMES, scan=None, **params):
    about = Acquisition("a", frames.shape[1:], frames.dtype, scan=scan)
    return Frame(about, Frame.Params.model_validate(params))


def batch(frames, *index):
    index = np.array(index)
    return Batch(frames, index, 1000 * index)


def only(processor):
    (found,) = processor.results()
    return found


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_keeps_the_laws_of_a_processor(dtype):
    check_processor(Frame, FRAMES.astype(dtype))


def test_keeps_the_laws_of_a_processor_with_a_scan_and_bins():
    check_processor(Frame, FRAMES.reshape(3, 4, 5, 7), params={"binning": 2})


def test_the_newest_frame_is_the_one_with_the_highest_index():
    processor = new()
    processor.process(batch(FRAMES[:3], 4, 9, 5))
    processor.process(batch(FRAMES[3:4], 7))
    found = only(processor)
    np.testing.assert_array_equal(found.data, FRAMES[1])
    assert found.data.dtype == FRAMES.dtype
    assert (found.first, found.frame, found.used, found.expected) == (9, 9, 1, 1)
    assert found.meta == {"index": 9, "t_ns": 9000}
    assert (found.units, found.axes) == ("counts", ("y", "x"))


def test_it_says_where_the_beam_was():
    processor = new(scan=Scan((2, 3), "snake", flyback=1, scans=2))
    processor.process(batch(FRAMES[:1], 8 + 4 + 1))  # second scan, second row
    assert only(processor).meta["scan"] == 1
    assert (only(processor).meta["row"], only(processor).meta["column"]) == (1, 1)


def test_a_frame_of_the_fly_back_has_no_position():
    processor = new(scan=Scan((2, 3), flyback=1))
    processor.process(batch(FRAMES[:1], 3))
    assert only(processor).meta == {"index": 3, "t_ns": 3000}


def test_bins_are_summed():
    processor = new(binning=2)
    processor.process(batch(FRAMES[:1], 0))
    found = only(processor)
    expected = FRAMES[0, :4, :6].reshape(2, 2, 3, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(found.data, expected)
    assert found.meta["binning"] == 2


def test_keeps_the_laws_of_a_processor_with_a_sample():
    frames = np.random.default_rng(7).poisson(3, (3, 4, 66, 70)).astype(np.uint16)
    check_processor(Frame, frames, params={"sample": 5})


def test_the_last_patterns_of_a_scan_come_small_with_their_positions():
    frames = np.random.default_rng(7).poisson(3, (9, 66, 130)).astype(np.uint16)
    processor = new(frames, scan=Scan((2, 3), flyback=1), sample=3)
    processor.process(batch(frames[:8], *range(8)))
    _, found = processor.results()
    expected = frames[[4, 5, 6], :, :129].reshape(3, 22, 3, 43, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(found.data, expected)
    assert found.meta["row"] == [1, 1, 1]
    assert found.meta["column"] == [0, 1, 2]
    assert (found.meta["binning"], found.used, found.frame) == (3, 3, 6)


def test_of_a_large_scan_so_many_positions_are_chosen_that_they_can_be_kept():
    frames = np.zeros((600, 4, 4), np.uint8)
    processor = new(frames, scan=Scan((256, 256)), sample=8)
    processor.process(batch(frames, *range(600)))
    _, found = processor.results()
    assert found.meta["index"] == [480, 496, 512, 528, 544, 560, 576, 592]
    assert found.meta["every"] == 256 * 256 / 4096


def test_before_the_first_position_there_is_no_pattern_and_a_movie_has_none():
    processor = new(scan=Scan((2, 3), offset=5), sample=3)
    processor.process(batch(FRAMES[:1], 0))
    assert [one.valid for one in processor.results()] == [True, False]
    assert len(list(new(sample=3).results())) == 1


def test_before_the_first_frame_there_is_none():
    processor = new()
    processor.process(batch(FRAMES[:0]))
    assert not only(processor).valid
    assert only(processor).reason == "no frame yet"


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="the acquisition has"):
        new().process(batch(FRAMES[:1, :4], 0))


def test_events_and_packed_frames_are_made_into_frames():
    index = np.arange(3)
    words = pack_events([0, 2, 2], [1, 2, 3], [5, 9, 9])
    events = EventBatch(words, index, index, (8, 64), np.dtype("<u2"))
    (found,) = apply("frame", events)
    np.testing.assert_array_equal(found.data, events.dense().pixels[2])
    frames = np.random.default_rng(1).poisson(2, (3, 64, 128)).astype(np.uint16)
    (found,) = apply("frame", pack_frames(frames, index, index))
    np.testing.assert_array_equal(found.data, frames[2])


@pytest.mark.parametrize("kind", ["frame", "denoise", "nucleation"])
def test_the_old_name_of_binning_is_refused_and_the_new_one_is_named(kind):
    params = plugins.processor_class(kind).Params
    with pytest.raises(ConfigError, match=rf"{kind}\.bin: .*did you mean 'binning'\?"):
        validate(params, {"bin": 2}, where=kind)
