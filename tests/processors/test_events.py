"""Sums straight from events equal those of the frames that are made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition, Scan
from scopeside.errors import ShapeError
from scopeside.events import EventBatch, pack_events
from scopeside_processors.kernels import events as kernels
from scopeside_processors.kernels import virtual as dense
from scopeside_processors.stem.layout import event_layout_of, layout_of
from scopeside_processors.stem.sum import Sum
from scopeside_processors.stem.virtual import Virtual, event_sums, virtual_sums

SHAPE = (7, 8)
PARAMS = {
    "detectors": {
        "bf": {"disk": [3, 4, 2]},
        "adf": {"annulus": [3, 4, 2, 4]},
        "all": {"rectangle": [0, 0, 7, 8]},
        "left": {"rectangle": [0, 0, 7, 3]},
    }
}
ANY_WORD = st.integers(0, (1 << 64) - 1)


def batch(words, n, dtype="u2", index=None):
    index = np.arange(n) if index is None else np.asarray(index)
    return EventBatch(
        np.asarray(words, np.uint64), index, index * 10, SHAPE, np.dtype(dtype)
    )


def some(n=6, m=400, dtype="u2", most=300, seed=1):
    rng = np.random.default_rng(seed)
    place, address = rng.integers(0, n, m), rng.integers(0, 56, m)
    return batch(pack_events(place, rng.integers(1, most, m), address), n, dtype)


def layout(**params):
    checked = Virtual.Params.model_validate({**PARAMS, **params})
    return layout_of(checked.detectors, SHAPE, None)


def acquisition(scan=None, **more):
    values = {"dtype": np.dtype("<u2"), "encoding": "events", "frames": 12}
    return Acquisition("a", SHAPE, scan=scan, **{**values, **more})


REGIONS = st.lists(
    st.integers(0, (1 << 56) - 1).map(
        lambda bits: np.array([bits >> k & 1 for k in range(56)], bool).reshape(SHAPE)
    ),
    max_size=10,
)


@settings(deadline=None, max_examples=60)
@given(REGIONS, st.integers(0, 100))
def test_any_regions_are_summed_as_over_frames(regions, seed):
    events, runs = some(seed=seed), dense.runs_of(regions)
    labels = kernels.labels_of(runs, SHAPE, (0, 0))
    expected = dense.sum_runs(events.dense().pixels, runs)
    np.testing.assert_array_equal(kernels.sum_labels(events, labels), expected)


def test_there_may_be_more_labels_than_a_byte_counts():
    rng = np.random.default_rng(3)
    regions = list(rng.random((9, 20, 30)) < 0.5)
    labels = kernels.labels_of(dense.runs_of(regions), (20, 30), (0, 0))
    assert labels.labels > 256
    words = pack_events(rng.integers(0, 4, 900), 3, rng.integers(0, 600, 900))
    index = np.arange(4)
    events = EventBatch(words, index, index, (20, 30), np.dtype("u2"))
    frames = events.dense().pixels.reshape(4, -1).astype(int)
    expected = frames @ np.reshape(regions, (9, -1)).T
    np.testing.assert_array_equal(kernels.sum_labels(events, labels), expected)


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("m", [0, 1, 5, 400])
def test_detectors_that_follow_the_beam_do_so_without_frames(n, m):
    params = {"bf": {"disk": [2]}, "adf": {"annulus": [2, 5]}, "x": {"disk": [9, 9, 4]}}
    cut, events = layout(detectors=params, centre="find"), some(n, m)
    assert cut.moving
    expected, _ = virtual_sums(events.dense().pixels, cut)
    np.testing.assert_array_equal(event_sums(events, cut)[0], expected)
    np.testing.assert_array_equal(
        kernels.middle_of_counts(events), dense.middle_of_counts(events.dense().pixels)
    )


def test_weights_of_few_bits_are_exact(tmp_path):
    weights = np.random.default_rng(2).integers(-8, 8, SHAPE) / 4
    np.save(tmp_path / "w.npy", weights)
    mask = {"mask": tmp_path / "w.npy"}
    cut, events = layout(detectors={**PARAMS["detectors"], "w": mask}), some()
    _, expected = virtual_sums(events.dense().pixels, cut)
    np.testing.assert_array_equal(event_sums(events, cut)[1], expected)


def test_detectors_are_laid_out_for_events_once():
    cut = layout()
    assert event_layout_of(cut, SHAPE) is event_layout_of(cut, SHAPE)


def test_a_case_worked_out_by_hand():
    words = pack_events(
        [1, 0, 1, 1], [1, 5, 2, 7], [3 * 8 + 4, 0, 3 * 8 + 4, 6 * 8 + 7]
    )
    counts, _ = event_sums(batch(words, 3), layout())
    by_name = dict(zip(layout().plain, counts.T.tolist(), strict=True))
    assert by_name["bf"] == [0, 3, 0]
    assert by_name["all"] == [5, 10, 0]
    assert by_name["left"] == [5, 0, 0]


@settings(deadline=None, max_examples=100)
@given(st.lists(ANY_WORD, max_size=30), st.integers(0, 4), st.booleans())
def test_no_word_whatever_reaches_outside(words, n, ordered):
    hostile = batch(words, n)
    good = (hostile.place < n) & (hostile.address < 56)
    tame = hostile.with_words(hostile.words[good])
    for cut in (layout(), layout(detectors={"bf": {"disk": [2]}}, centre="find")):
        for one, other in zip(
            event_sums(hostile, cut), event_sums(tame, cut), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    hostile = hostile.with_words(np.sort(hostile.words) if ordered else hostile.words)
    weight = np.arange(56.0)[None]
    np.testing.assert_array_equal(
        kernels.sum_weighted(hostile, weight), kernels.sum_weighted(tame, weight)
    )
    total, peak = np.zeros(SHAPE, np.int64), np.zeros(SHAPE, "u2")
    kernels.add_sum(hostile, total)
    kernels.raise_peak(hostile, peak)
    frames = np.zeros((n, 56), np.int64)
    np.add.at(frames, (tame.place, tame.address), tame.value)
    np.testing.assert_array_equal(total.ravel(), frames.sum(axis=0))
    most = np.minimum(frames.max(axis=0, initial=0), 65535)
    np.testing.assert_array_equal(peak.ravel(), most)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i4"])
def test_the_maximum_is_that_of_the_frames(dtype):
    events = some(dtype=dtype)
    peak = np.full(SHAPE, np.iinfo(dtype).min, dtype)
    kernels.raise_peak(events, peak)
    np.testing.assert_array_equal(peak, events.dense().pixels.max(axis=0))


def test_the_maximum_does_not_depend_on_the_order_of_events():
    events = some()
    peaks = []
    for order in (slice(None), np.argsort(events.place, kind="stable")):
        peaks.append(np.zeros(SHAPE, "u2"))
        kernels.raise_peak(events.with_words(events.words[order]), peaks[-1])
    np.testing.assert_array_equal(*peaks)


def test_a_sum_counts_what_a_pixel_cannot_hold():
    words = pack_events([0, 0], [200, 100], [9, 9])
    processor = Sum(acquisition(dtype=np.dtype("u1")), Sum.Params())
    processor.process_events(batch(words, 1, "u1"))
    found = {result.name: result.data.ravel()[9] for result in processor.results()}
    assert found == {"sum": 300, "mean": 300.0, "max": 255}


def test_frames_during_flyback_have_no_position():
    about = acquisition(Scan((2, 2), flyback=1), frames=6)
    processor = Virtual(about, Virtual.Params.model_validate(PARAMS))
    words = pack_events(np.arange(6), np.arange(1, 7), 0)
    processor.process_events(batch(words, 6))
    found = {result.name: result for result in processor.results()}["all"]
    assert found.data.tolist() == [[1, 2], [4, 5]]
    assert (found.used, found.meta["outside"]) == (4, 2)


@pytest.mark.parametrize("cls", [Virtual, Sum])
@pytest.mark.parametrize(
    "changes", [{"frame_shape": (8, 7)}, {"dtype": np.dtype("u1")}]
)
def test_events_that_were_not_announced_are_refused(cls, changes):
    params = PARAMS if cls is Virtual else {}
    about = acquisition(**changes) if "dtype" in changes else None
    about = about or Acquisition("a", (8, 7), np.dtype("<u2"), encoding="events")
    processor = cls(about, cls.Params.model_validate(params))
    with pytest.raises(ShapeError, match=r"events are of frames \(7, 8\) uint16; the"):
        processor.process_events(some())
