"""What becomes of nuclei in a stream of frames, and of frames that are no good."""

import math

import numpy as np
import pytest
from tests.processors.movies import movie

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.insitu import nuclei
from scopeside_processors.insitu.nucleation import Nucleation
from scopeside_processors.insitu.nuclei import COLUMNS, Nuclei
from scopeside_processors.insitu.pace import ASSUMED_S, Pace

STEP_NS = 40_000_000


def new(params=None, shape=(96, 96), dtype="u2", **calibration):
    about = Acquisition("a", shape, np.dtype(dtype), calibration=calibration)
    return Nucleation(about, validate(Nucleation.Params, params or {}, where="n"))


def feed(processor, frames, first=0):
    """All results, one frame a batch."""
    found = []
    for k, frame in enumerate(frames, first):
        processor.process(Batch(frame[None], np.array([k]), np.array([k * STEP_NS])))
        found += processor.results()
    return found


def events(found, status=None):
    return [
        r
        for r in found
        if r.name == "nucleation" and r.valid and status in {None, r.data["status"]}
    ]


def growing(y, x, birth, depth=0.3):
    """A disk that reaches 3 px ten frames after its birth."""
    return (y, x, lambda t: min(8.0, 0.3 * (t - birth)) if t > birth else -1.0, depth)


def walk(n, step=0.2, seed=3):
    return np.cumsum(np.random.default_rng(seed).normal(0, step, (n, 2)), axis=0)


@pytest.fixture(scope="module")
def seen():
    """A movie in which a nucleus is born in frame 50, its drift, and all results."""
    drift = walk(100)
    frames = movie(drift, dose=10.0, disks=[growing(40, 57, 50)])
    return frames, drift, feed(new(pixel_size_m=2e-10), frames)


# -- nuclei ---------------------------------------------------------------------------


def test_a_nucleus_that_grows_is_confirmed_once_where_it_is(seen):
    _, drift, found = seen
    confirmed = events(found, "confirmed")
    assert len(confirmed) == 1
    said = confirmed[0]
    assert 52 < said.frame < 85
    away = said.data["y"] - 40 - drift[said.frame, 0], said.data["x"] - 57
    away = math.hypot(away[0], away[1] - drift[said.frame, 1])
    assert away < 3
    assert abs(said.data["birth_frame"] - 50) < 10
    assert said.data["confidence"] > 0.5
    assert said.data["y_m"] == pytest.approx(2e-10 * said.data["y"])


def test_a_candidate_is_said_before_it_is_confirmed_under_the_same_number(seen):
    _, _, found = seen
    confirmed = events(found, "confirmed")[0]
    before = [r for r in events(found) if r.data["id"] == confirmed.data["id"]]
    assert [r.frame for r in before] == sorted(r.frame for r in before)
    assert before[0].data["status"] in {"candidate", "confirmed"}


def test_an_event_holds_plain_values(seen):
    _, _, found = seen
    data = events(found)[0].data
    plain = (int, float, str, list)
    assert all(type(value) in plain for value in data.values())
    assert np.ndim(data["thumbnail"]) == 2
    assert all(len(row) == 3 for row in data["course"])


def test_the_table_holds_what_was_confirmed(seen):
    _, _, found = seen
    table = [r for r in found if r.name == "nuclei"][-1]
    assert table.meta["columns"] == list(COLUMNS)
    assert table.data.shape == (1, len(COLUMNS))
    row = dict(zip(COLUMNS, table.data[0], strict=True))
    assert math.hypot(row["y"] - 40, row["x"] - 57) < 3
    assert row["confirmed_frame"] == events(found, "confirmed")[0].frame
    assert np.isnan(row["dissolved_frame"])


def test_where_nothing_happens_nothing_is_said():
    assert not feed(new(), movie(walk(80), dose=5.0))


def test_what_was_there_from_the_beginning_is_no_nucleus():
    frames = movie(walk(70), dose=10.0, disks=[(40, 57, lambda t: 5.0, 0.4)])
    assert not events(feed(new(), frames), "confirmed")


# -- laws -----------------------------------------------------------------------------


def test_the_laws_of_a_processor_are_kept():
    frames = movie(walk(44), shape=(64, 64), disks=[growing(32, 32, 24, 0.6)])
    params = {"warm_up_frames": 0, "alarms_per_hour": 500}
    assert events(feed(new(params, shape=(64, 64)), frames))
    check_processor(
        Nucleation, frames, params=params, changed={**params, "alarms_per_hour": 5}
    )


# -- bad input ------------------------------------------------------------------------


def bad(kind, frame):
    if kind == "blank":
        return np.zeros_like(frame)
    if kind == "saturated":
        return np.full_like(frame, np.iinfo(np.uint16).max)
    return frame


@pytest.mark.parametrize("kind", ["blank", "saturated", "repeated"])
def test_a_frame_that_is_no_good_is_invalid_and_raises_no_alarm(kind):
    frames = movie(walk(80), dose=10.0)
    given = [*frames[:50], *3 * [bad(kind, frames[49])], *frames[50:]]
    found = feed(new(), given)
    assert [r.frame for r in found if not r.valid] == [50, 51, 52]
    assert all(r.reason for r in found if not r.valid)
    assert {r.data["status"] for r in found if not r.valid} == {"unusable"}
    assert not events(found)


def test_what_is_not_a_number_is_invalid():
    frames = movie(walk(60), dose=10.0).astype(np.float32)
    frames[40, 3:60] = np.nan
    frames[41] = np.inf
    found = feed(new(dtype="f4"), frames)
    assert [r.frame for r in found if not r.valid] == [40, 41]
    assert not events(found)


def test_a_movie_without_counts_is_invalid_throughout():
    found = feed(new(), np.zeros((40, 96, 96), np.uint16))
    assert [r.frame for r in found] == list(range(40))
    assert not any(r.valid for r in found)


def test_noise_without_content_raises_no_alarm():
    frames = np.random.default_rng(1).poisson(2.0, (80, 96, 96)).astype(np.uint16)
    assert not events(feed(new(), frames), "confirmed")


def test_a_frame_of_another_size_is_refused():
    processor = new()
    with pytest.raises(ShapeError, match="96"):
        feed(processor, np.ones((1, 64, 96), np.uint16))


def test_frames_too_small_for_the_filter_are_refused():
    with pytest.raises(ConfigError, match="too small"):
        new({"min_radius_px": 6}, shape=(96, 96))
    with pytest.raises(ConfigError, match="max_radius_px"):
        new({"min_radius_px": 6, "max_radius_px": 2})


def test_only_the_rate_of_alarms_changes_in_mid_acquisition():
    processor = new()
    processor.change(Nucleation.Params(alarms_per_hour=1))
    with pytest.raises(ConfigError, match="alarms_per_hour"):
        processor.change(Nucleation.Params(min_radius_px=4))


def test_a_new_picture_after_a_pause_brings_no_nuclei():
    frames = [*movie(walk(60), dose=10.0), *movie(walk(80), dose=10.0, seed=9)]
    assert not events(feed(new(), frames), "confirmed")


def test_apply_yields_events():
    frames = movie(np.zeros((80, 2)), dose=10.0, disks=[growing(40, 57, 45)])
    found = list(
        scopeside.apply("nucleation", frames, min_radius_px=3, correct_drift=False)
    )
    assert len(events(found, "confirmed")) == 1


# -- pace and table -------------------------------------------------------------------


def test_the_pace_is_what_is_said_or_what_time_stamps_tell():
    said = Pace(0.5)
    assert not any(said.take(k, k * STEP_NS) for k in range(20))
    assert said.frame_time_s == 0.5
    told = Pace(None)
    assert [told.take(2 * k, k * STEP_NS) for k in range(9)] == [False] * 7 + [
        True,
        False,
    ]
    assert told.frame_time_s == pytest.approx(0.02)
    silent = Pace(None)
    assert not any(silent.take(k, 0) for k in range(20))
    assert silent.frame_time_s == ASSUMED_S


def test_the_table_is_bounded_and_counts_all(monkeypatch):
    monkeypatch.setattr(nuclei, "MOST", 3)
    table = Nuclei()
    about = {"radius_px": 3.0, "birth_frame": 1.0, "confidence": 0.9}
    for k in range(5):
        assert table.take({"id": k, "status": "confirmed", **about}, (k, 0), 10 + k)
    assert table.table()[:, 0].tolist() == [2, 3, 4]
    assert table.confirmed == 5
    assert table.take({"id": 3, "status": "dissolved", **about}, (3, 0), 20)
    assert table.table()[1, 6] == 20
    assert not table.take({"id": 9, "status": "rejected", **about}, (0, 0), 20)
    assert table.take({"id": 4, "status": "rejected", **about}, (0, 0), 21)
    assert table.confirmed == 4
    other = Nuclei()
    other.take_over({**table.state()})
    np.testing.assert_array_equal(other.table(), table.table())
