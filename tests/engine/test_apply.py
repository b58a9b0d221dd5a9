from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from scopeside.acquisition import Acquisition
from scopeside.apply import apply
from scopeside.batch import Batch
from scopeside.errors import ConfigError, PluginError, ShapeError
from scopeside.events import EventBatch, pack_events
from scopeside.params import Params as BaseParams
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.scan import Scan

FRAMES = np.random.default_rng(2024).poisson(3, (6, 4, 5)).astype(np.uint16)
ALL = {"all": {"rectangle": [0, 0, 4, 5]}}
COUNTS = FRAMES.sum(axis=(1, 2)).tolist()


class Each:
    """ORDERED: the counts and the time of each frame, and how it was called."""

    order = Order.ORDERED
    Params: ClassVar = BaseParams

    def __init__(self, acquisition, params, device="cpu"):
        self.acquisition, self.found = acquisition, []

    def process(self, batch):
        assert not batch.pixels.flags.writeable
        meta = {"t_ns": batch.timestamp_ns.tolist(), "acquisition": self.acquisition}
        self.found = [
            Result("counts", int(frame.sum()), "scalar", frame=int(i), meta=meta)
            for i, frame in zip(batch.index, batch.pixels, strict=True)
        ]

    def results(self):
        return self.found


class EachOfEvents(Each):
    """`Each`, of events."""

    def process_events(self, batch):
        self.process(batch.dense())


def acquisition(frames=FRAMES, about=None):
    return next(apply(Each, frames, about)).meta["acquisition"]


def test_an_ordered_processor_gives_its_results_frame_by_frame():
    found = list(apply(Each, FRAMES))
    assert [result.data for result in found] == COUNTS
    assert [result.frame for result in found] == [0, 1, 2, 3, 4, 5]
    assert all(len(result.meta["t_ns"]) == 1 for result in found)


def test_results_come_before_the_frames_have_ended():
    def endless():
        while True:
            yield FRAMES[0]

    results = apply(Each, endless())
    assert [next(results).frame, next(results).frame] == [0, 1]


def test_other_processors_give_their_results_at_the_end():
    (series,) = apply("virtual", FRAMES, detectors=ALL)
    assert (series.kind, series.data.tolist()) == ("series", COUNTS)


def test_an_array_by_position_is_a_scan():
    (image,) = apply("virtual", FRAMES.reshape(2, 3, 4, 5), detectors=ALL)
    assert (image.kind, image.data.tolist()) == ("image", [COUNTS[:3], COUNTS[3:]])


def test_a_scan_may_be_told():
    about = {"scan": [2, 3], "pattern": "snake"}
    (image,) = apply("virtual", FRAMES, about, detectors=ALL)
    assert image.data.tolist() == [COUNTS[:3], COUNTS[:2:-1]]


BATCHES = [
    Batch(FRAMES[:4], np.arange(4), np.arange(4)),
    Batch(FRAMES[4:], np.arange(4, 6), np.arange(2)),
]
PLACE, ADDRESS = np.nonzero(FRAMES.reshape(6, -1))
EVENTS = EventBatch(
    pack_events(PLACE, FRAMES.reshape(6, -1)[PLACE, ADDRESS], ADDRESS),
    np.arange(6),
    np.arange(6) * 10,
    (4, 5),
    np.dtype("u2"),
)
SWAPPED = FRAMES.astype(">u2")


@pytest.mark.parametrize(
    "frames", [list(FRAMES), iter(FRAMES), BATCHES, SWAPPED, FRAMES[::-1][::-1]]
)
def test_frames_come_in_many_forms(frames):
    (series,) = apply("virtual", frames, {"frames": 6}, detectors=ALL)
    assert series.data.tolist() == COUNTS


@pytest.mark.parametrize("kind", ["virtual", EachOfEvents])
@pytest.mark.parametrize("frames", [EVENTS, [EVENTS], [*EVENTS.cut(4)]])
def test_events_bring_what_their_frames_bring(kind, frames):
    params = {"detectors": ALL} if kind == "virtual" else {}
    about = {"frames": 6}
    batch = Batch(FRAMES, EVENTS.index, EVENTS.timestamp_ns)
    expected = [r.data for r in apply(kind, [batch], about, **params)]
    found = [r.data for r in apply(kind, frames, about, **params)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [Each, EachOfEvents])
def test_an_ordered_processor_has_events_frame_by_frame(kind):
    found = list(apply(kind, EVENTS))
    assert [result.data for result in found] == COUNTS
    assert [result.frame for result in found] == [0, 1, 2, 3, 4, 5]
    assert [result.meta["t_ns"] for result in found] == [[10 * k] for k in range(6)]
    assert found[0].meta["acquisition"].encoding == "events"


def test_frames_may_use_the_same_memory_one_after_another():
    def camera():
        buffer = np.empty((4, 5), np.uint16)
        for frame in FRAMES:
            buffer[:] = frame
            yield buffer

    (series,) = apply("virtual", camera(), detectors=ALL)
    assert series.data.tolist() == COUNTS


def test_a_batch_keeps_its_numbers_and_times():
    batch = Batch(FRAMES[:2], np.array([7, 9]), np.array([70, 90]))
    found = [(r.frame, r.meta["t_ns"]) for r in apply(Each, [batch])]
    assert found == [(7, [70]), (9, [90])]


def test_time_follows_the_frame_time():
    about = {"frame_time_s": 0.001, "started_ns": 500}
    found = [result.meta["t_ns"] for result in apply(Each, FRAMES[:3], about)]
    assert found == [[500], [1_000_500], [2_000_500]]


def test_words_make_an_acquisition():
    found = acquisition(about={"scan": [2, 3], "beam_energy_eV": 3e5, "detector": "x"})
    assert found == Acquisition(
        "apply", (4, 5), np.dtype("u2"), "scan4d", 6, Scan((2, 3)),
        {"beam_energy_eV": 3e5}, "x",
    )  # fmt: skip


def test_without_a_word_it_is_a_movie():
    found = acquisition()
    assert (found.kind, found.frames, found.scan) == ("movie", 6, None)


def test_an_acquisition_takes_the_dtype_of_the_frames():
    about = Acquisition("a", (4, 5), np.dtype("u2"))
    assert acquisition(FRAMES.astype(np.float32), about).dtype == np.float32


def test_the_scan_of_an_array_by_position_has_no_flyback():
    about = Acquisition("a", (4, 5), np.dtype("u2"), scan=Scan((2, 3), flyback=2))
    assert acquisition(FRAMES.reshape(2, 3, 4, 5), about).scan == Scan((2, 3))


@pytest.mark.parametrize(
    ("frames", "about", "message"),
    [
        (FRAMES[0], None, r"frames are \(n, height, width\) or .*, not \(4, 5\)"),
        (FRAMES, Acquisition("a", (9, 9), np.dtype("u2")), r"frames are \(4, 5\); the"),
        (
            FRAMES.reshape(2, 3, 4, 5),
            {"scan": [3, 2]},
            r"frames are a scan of \(2, 3\)",
        ),
        (FRAMES.astype(complex), None, "pixels are integers or floats"),
        (
            [FRAMES[0], FRAMES[0, :2]],
            None,
            r"frames are \(4, 5\) uint16; one is \(2, 5",
        ),
        ([FRAMES[0], FRAMES[0] * 1.5], None, r"one is \(4, 5\) float64"),
        ([EVENTS, FRAMES[0]], None, "frames, events or packed frames, not a mixture"),
        ([FRAMES[0], EVENTS], None, "frames, events or packed frames, not a mixture"),
        (
            [EVENTS, replace(EVENTS, frame_shape=(5, 4))],
            None,
            r"events are of frames \(4, 5\) uint16; some are of \(5, 4\) uint16",
        ),
        ([1, 2], None, r"a frame is \(height, width\), not \(\)"),
        ([], None, "there are no frames"),
        (5, None, "frames are an array or an iterable, not 5"),
        (FRAMES, {"scan": 5}, "an acquisition cannot be"),
        (FRAMES, {"kind": "film"}, "kind is one of"),
    ],
)
def test_what_is_no_frames_is_refused(frames, about, message):
    with pytest.raises(ShapeError, match=message):
        list(apply(Each, frames, about))


def test_a_wrong_parameter_is_refused_at_once_by_its_key():
    with pytest.raises(ConfigError, match=r"virtual\.detectors\.bf: .*has 3 numbers"):
        apply("virtual", FRAMES, detectors={"bf": {"disk": [1, 2]}})
    with pytest.raises(
        ConfigError, match=r"virtual\.radius: key 'radius' is not known"
    ):
        apply("virtual", FRAMES, detectors=ALL, radius=3)


def test_an_unknown_processor_is_refused():
    with pytest.raises(PluginError, match="'virtuel' is not known; did you mean"):
        apply("virtuel", FRAMES)


def test_a_frame_time_is_a_number():
    with pytest.raises(ConfigError, match="frame_time_s is a number of seconds"):
        list(apply(Each, FRAMES, {"frame_time_s": "1 ms"}))


def test_a_processor_may_be_named_by_its_module():
    kind = "scopeside_processors.stem.sum:Sum"
    found = {result.name: result.data for result in apply(kind, FRAMES)}
    np.testing.assert_array_equal(found["sum"], FRAMES.sum(axis=0))
