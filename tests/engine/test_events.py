"""Events make the frames that numpy would make of them, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside import words as kernels
from scopeside.acquisition import Acquisition
from scopeside.errors import ShapeError
from scopeside.events import EventBatch, keep_good, pack_events, renumber, warm

SHAPE = (3, 4)
ANY_WORD = st.integers(0, (1 << 64) - 1)


def new(words, n, dtype="u2", first=5):
    index = np.arange(first, first + n)
    return EventBatch(
        np.asarray(words, np.uint64), index, index * 10, SHAPE, np.dtype(dtype), 2
    )


def plain(batch):
    """The frames, added up event by event; none above what the dtype holds."""
    frames = np.zeros((len(batch), 12), np.int64)
    np.add.at(frames, (batch.place, batch.address), batch.value)
    most = min(int(np.iinfo(batch.dtype).max), 1 << 62)
    return np.minimum(frames, most).reshape(-1, *SHAPE)


def events(n, m, dtype="u2", seed=0):
    rng = np.random.default_rng(seed)
    place, address = rng.integers(0, n, m), rng.integers(0, 12, m)
    return new(pack_events(place, rng.integers(0, 300, m), address), n, dtype)


def test_a_word_has_place_value_and_address():
    assert pack_events([3], [2], [1]).tolist() == [(3 << 40) + (2 << 24) + 1]
    batch = new(pack_events([0, 1], 1, [11, 0]), 2)
    assert batch.place.tolist() == [0, 1]
    assert batch.value.tolist() == [1, 1]
    assert batch.address.tolist() == [11, 0]


def test_the_largest_numbers_fit_into_a_word():
    most = pack_events([(1 << 24) - 1], [(1 << 16) - 1], [(1 << 24) - 1])
    assert most.tolist() == [(1 << 64) - 1]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (([1 << 24], [1], [1]), "the place of an event is 0 to 16777215, not 16777216"),
        (([0], [-1], [1]), "the value of an event is 0 to 65535, not -1 to -1"),
        (([0], [1], [1 << 24]), "the address of an event"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(numbers, message):
    with pytest.raises(ShapeError, match=message):
        pack_events(*numbers)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros(2, np.int64), r"events are \(m,\) uint64, not \(2,\) int64"),
        (np.zeros((2, 2), np.uint64), r"not \(2, 2\) uint64"),
    ],
)
def test_what_is_no_word_is_refused(words, message):
    index = np.arange(2)
    with pytest.raises(ShapeError, match=message):
        EventBatch(words, index, index, SHAPE, np.dtype("u2"))


def test_frames_need_as_many_time_stamps():
    with pytest.raises(ShapeError, match="as many indices as time stamps"):
        EventBatch(
            np.zeros(1, np.uint64), np.arange(2), np.arange(3), SHAPE, np.dtype("u2")
        )


def test_frames_without_events_are_frames():
    batch = new([], 3)
    assert len(batch) == 3
    frames = batch.dense()
    assert frames.pixels.shape == (3, *SHAPE)
    assert not frames.pixels.any()
    assert frames.index.tolist() == [5, 6, 7]


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i8"])
def test_frames_are_the_sums_of_their_events(dtype):
    batch = events(6, 500, dtype)
    found = batch.dense()
    np.testing.assert_array_equal(found.pixels, plain(batch))
    assert found.pixels.dtype == np.dtype(dtype)
    assert found.epoch == 2


def test_a_pixel_is_held_to_what_its_dtype_can_hold():
    batch = new(pack_events([0, 0, 0], [200, 50, 50], [1, 1, 2]), 1, "u1")
    assert batch.dense().pixels.ravel()[:3].tolist() == [0, 250, 50]
    more = new(pack_events([0, 0, 0], [200, 50, 50], [1, 1, 1]), 1, "u1")
    assert more.dense().pixels.max() == 255


@pytest.mark.parametrize("part", [(0, 3), (2, 6), (5, 6), (3, 3), (4, None)])
def test_a_part_of_the_frames_is_that_part(part):
    batch = events(6, 300)
    found, whole = batch.dense(*part), batch.dense()
    np.testing.assert_array_equal(found.pixels, whole.pixels[slice(*part)])
    np.testing.assert_array_equal(found.index, whole.index[slice(*part)])
    np.testing.assert_array_equal(found.timestamp_ns, whole.timestamp_ns[slice(*part)])


def test_frames_made_of_events_cannot_be_written_to():
    assert not events(2, 5).dense().pixels.flags.writeable


@pytest.mark.parametrize("size", [1, 2, 4, 6, 9])
def test_pieces_hold_all_events_in_their_order(size):
    batch = events(6, 300)
    pieces = list(batch.cut(size))
    assert [len(piece) for piece in pieces][:-1] == [size] * (len(pieces) - 1)
    at = 0
    for piece in pieces:
        mine = (batch.place >= at) & (batch.place < at + len(piece))
        for k in range(len(piece)):
            of_frame = batch.address[batch.place == at + k]
            np.testing.assert_array_equal(piece.address[piece.place == k], of_frame)
        assert len(piece.words) == mine.sum()
        np.testing.assert_array_equal(piece.index, batch.index[at : at + len(piece)])
        at += len(piece)
    assert at == 6


@pytest.mark.parametrize("frames", [1, 2, 4, 100])
def test_portions_are_the_frames_a_few_at_a_time(frames):
    batch, seen = events(7, 300), []
    for piece, made in batch.portions(at_most=frames * 24):
        assert len(made) <= frames
        np.testing.assert_array_equal(made.pixels, plain(piece))
        seen.append(made.pixels.copy())
    np.testing.assert_array_equal(np.concatenate(seen), batch.dense().pixels)


def test_a_portion_is_one_frame_however_large():
    assert [len(made) for _, made in events(3, 9).portions(at_most=1)] == [1, 1, 1]


@settings(deadline=None, max_examples=200)
@given(st.lists(ANY_WORD, max_size=30), st.integers(0, 4))
def test_no_word_whatever_makes_a_loop_leave_its_frames(words, n):
    batch = new(words, n)
    good = (batch.place < n) & (batch.address < 12)
    known = batch.with_words(batch.words[good])
    np.testing.assert_array_equal(batch.dense().pixels, plain(known))
    made = [made.pixels.copy() for _, made in batch.portions(at_most=24)]
    np.testing.assert_array_equal(
        np.concatenate([np.zeros((0, *SHAPE), "u2"), *made]), plain(known)
    )
    kept = batch.words.copy()
    assert keep_good(kept, n, 12) == good.sum()
    assert kept[: good.sum()].tolist() == batch.words[good].tolist()


def test_good_words_are_left_as_they_are():
    words = events(4, 50).words
    before = words.copy()
    assert keep_good(words, 4, 12) == 50
    assert words.tolist() == before.tolist()


def test_events_of_frames_that_are_left_out_go_with_them():
    words = pack_events([0, 1, 2, 1, 0], [1, 2, 3, 4, 5], [9, 8, 7, 6, 5])
    assert renumber(words, np.array([1, -1, 0])) == 3
    assert words[:3].tolist() == pack_events([1, 0, 1], [1, 3, 5], [9, 7, 5]).tolist()


def test_what_is_compiled_serves_what_comes():
    warm("u2")
    before = len(kernels.fill.signatures)
    batch = events(4, 50)
    locked = batch.words.copy()
    locked.flags.writeable = False
    batch.with_words(locked).dense()
    list(batch.portions(at_most=24))
    assert len(kernels.fill.signatures) == before


def test_an_acquisition_says_that_it_comes_as_events():
    about = Acquisition("a", SHAPE, np.dtype("u2"), encoding="events")
    assert about.to_dict()["encoding"] == "events"
    assert Acquisition.from_dict(about.to_dict()) == about
    frames = Acquisition("a", SHAPE, np.dtype("u2"))
    assert Acquisition.from_dict(frames.to_dict()).encoding == "frames"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoding": "hits"}, "frames, events or packed, not 'hits'"),
        ({"dtype": np.dtype("f4")}, "counted in whole numbers, not in float32"),
        ({"frame_shape": (4097, 4096)}, "16777216 pixels at most"),
    ],
)
def test_what_events_cannot_make_is_refused(changes, message):
    values = {"frame_shape": SHAPE, "dtype": np.dtype("u2"), "encoding": "events"}
    with pytest.raises(ShapeError, match=message):
        Acquisition("a", **{**values, **changes})
