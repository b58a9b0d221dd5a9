"""Growth and motion of the particles of a movie, as they are seen."""

from __future__ import annotations

import numpy as np
import pytest
from tests.processors import walks
from tests.processors.movies import movie

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside.result import Result, invalid
from scopeside.testing import check_processor
from scopeside_processors.insitu.diffusing import Diffusing
from scopeside_processors.insitu.ensemble import BINS, ROWS, Ensemble
from scopeside_processors.insitu.kinetics import Kinetics
from scopeside_processors.insitu.track import COLUMNS
from scopeside_processors.kernels.brownian import free_variance
from scopeside_processors.kernels.growth import breaks, fit_power
from scopeside_processors.kernels.increments import search
from scopeside_processors.kernels.resting import search_rest
from scopeside_processors.kernels.rim import measure_radii

KERNELS = (measure_radii, fit_power, breaks, free_variance, search, search_rest)
SHAPE = (96, 96)
STILL = np.zeros((16, 2))
DISKS = [(30, 30, lambda t: 3.5 + 0.1 * t, 0.6), (64, 60, lambda _t: 5.0, 0.6)]
SMALL = {"track": {"max_radius_px": 6.0}}


def frames(n, n_counts=1):
    return np.full((n, *SHAPE), n_counts, np.uint16)


def tracks(frame, rows):
    """What a `track` step says of a frame; rows of id, y, x, radius, birth frame."""
    table = np.zeros((len(rows), len(COLUMNS)))
    for row, (id_, y, x, radius, birth) in zip(table, rows, strict=True):
        said = {
            "id": id_, "y": y, "x": x, "measured_y": y, "measured_x": x, "seen": 1,
            "radius_px": radius, "measured_radius": radius, "birth_frame": birth,
        }  # fmt: skip
        for name, value in said.items():
            row[COLUMNS.index(name)] = value
    return Result(
        "tracks", table, "table", frame=frame, meta={"columns": list(COLUMNS)}
    )


def run(cls, said, size=7, calibration=None, **params):
    """Results of a processor after a `track` step that says this, frame by frame."""
    n = len(said)
    about = Acquisition(
        "a", SHAPE, np.dtype("u2"), frames=n, calibration=calibration or {}
    )
    processor = cls(about, cls.Params.model_validate(params))
    results = []
    for begin in range(0, n, size):
        index = np.arange(begin, min(begin + size, n))
        shared = {"tracks": [said[k] for k in index]}
        processor.process(Batch(frames(len(index)), index, index, shared=shared))
        results += processor.results()
    return results


def last(results, name):
    return [r for r in results if r.name == name][-1]


def column(result, name):
    return result.data[:, result.meta["columns"].index(name)]


def growing(n=200):
    """One grows as the root of time and stops, one stays, one is born later."""
    rng = np.random.default_rng(0)
    said = []
    for t in range(n):
        root = 3 * np.sqrt((min(t, 120) + 10) / 10)
        rows = [(1, 30, 30, root, 0), (2, 60, 60, 5.0, 0)]
        rows += [(3, 30, 60, 3 + 0.03 * (t - 80), 80)] if t >= 80 else []
        rows += [(4, 2, 60, 4.0, 90)] if t >= 90 else []
        noisy = [(i, y, x, r + rng.normal(0, 0.1), b) for i, y, x, r, b in rows]
        said.append(tracks(t, noisy))
    return said


# -- kinetics -----------------------------------------------------------------------


def test_each_particle_has_its_law_since_its_last_change():
    found = last(run(Kinetics, growing(), profile="track"), "growth")
    assert column(found, "id").tolist() == [1, 2, 3, 4]
    laws = [found.meta["laws"][int(k)] for k in column(found, "law")]
    assert laws[0] == laws[1] == laws[3] == "plateau"
    assert laws[2] == "linear"
    states = [found.meta["states"][int(k)] for k in column(found, "state")]
    assert states == ["resting", "resting", "growing", "resting"]
    low, high = column(found, "rate_low")[2], column(found, "rate_high")[2]
    assert low < 0.03 < high
    assert column(found, "radius_px")[1] == pytest.approx(5, abs=0.1)


def test_the_end_of_growth_is_an_event():
    found = run(Kinetics, growing(), profile="track")
    (event,) = [r for r in found if r.name == "change_point"]
    assert event.data["id"] == 1
    assert event.data["at_frame"] == pytest.approx(120, abs=10)
    assert event.frame > event.data["at_frame"]
    assert event.data["speed_before"] > event.data["speed_after"]


def test_rates_are_in_metres_and_seconds_where_the_scale_is_known():
    scale = {"pixel_size_m": 2e-9, "frame_time_s": 0.5}
    found = run(Kinetics, growing(), profile="track", calibration=scale)
    growth, births = last(found, "growth"), last(found, "nucleation_rate")
    speed, radius = column(growth, "speed"), column(growth, "radius_px")
    np.testing.assert_allclose(column(growth, "speed_m_s"), speed * 4e-9)
    np.testing.assert_allclose(column(growth, "radius_m"), radius * 2e-9)
    rate = column(growth, "rate_si")[2]  # linear: m/s
    assert rate == pytest.approx(column(growth, "rate")[2] * 4e-9)
    plain = last(run(Kinetics, growing(), profile="track"), "nucleation_rate")
    np.testing.assert_allclose(
        column(births, "rate"), column(plain, "rate") / (4e-18 * 0.5)
    )
    assert births.units == "1/(m² s)"
    assert plain.units == "1/(px² frame)"


def test_births_are_counted_where_and_when_they_can_be():
    found = last(run(Kinetics, growing(), profile="track"), "nucleation_rate")
    assert found.meta["births"] == 1  # two were there, one came in at the edge
    born = column(found, "births") > 0
    assert (
        column(found, "first_frame")[born][0]
        <= 80
        <= column(found, "last_frame")[born][0]
    )
    assert column(found, "rate_high").min() > 0


def test_the_ensemble_has_its_history():
    found = last(run(Kinetics, growing(), profile="track"), "ensemble")
    assert column(found, "frame").tolist() == [24, 49, 74, 99, 124, 149, 174, 199]
    assert column(found, "particles").tolist() == [2, 2, 2, 4, 4, 4, 4, 4]
    assert column(found, "area_fraction")[0] == pytest.approx(
        np.pi * (5**2 + 3**2 * 3.4) / 96**2, rel=0.1
    )
    assert found.meta["law_of_mean_radius"]["probability"] <= 1


def test_radii_of_many_have_a_distribution():
    rng = np.random.default_rng(1)
    radii = rng.lognormal(1.5, 0.25, 60)
    said = [
        tracks(t, [(k, 48, 48, r, 0) for k, r in enumerate(radii)]) for t in range(20)
    ]
    found = last(run(Kinetics, said, profile="track", every=20), "sizes")
    assert found.data.sum() + found.meta["beyond"] == 60
    assert found.meta["mean_px"] == pytest.approx(radii.mean())
    shapes = found.meta["shapes"]
    assert max(shapes, key=lambda k: shapes[k]["probability"]) == "lognormal"


def test_a_radius_is_measured_in_the_frames():
    movie_of = movie(np.zeros((60, 2)), disks=[(48, 48, lambda t: 4 + t / 15, 0.6)])
    found = list(
        scopeside.apply(
            "kinetics", movie_of, profile="disk", every=60, track={"max_radius_px": 8.0}
        )
    )
    growth = last(found, "growth")
    assert column(growth, "radius_px")[0] == pytest.approx(7.9, abs=0.4)
    assert column(growth, "speed")[0] == pytest.approx(1 / 15, rel=0.3)


def test_whoever_is_not_seen_any_more_is_gone():
    said = growing(60) + [tracks(t, []) for t in range(60, 120)]
    found = last(run(Kinetics, said, profile="track"), "growth")
    states = [found.meta["states"][int(k)] for k in column(found, "state")]
    assert states == ["gone", "gone"]


def test_a_long_movie_stays_within_bounds():
    ensemble = Ensemble(5)
    for k in range(3000):
        ensemble.note(5 * k, np.array([3.0, 4.0]), 1e4)
        ensemble.born(np.array([5.0 * k]))
    assert len(ensemble.history) < ROWS
    rate = ensemble.rate(14_995, 0, 1e4)
    assert len(rate.counts) <= BINS
    assert rate.counts.sum() == 3000
    assert rate.edges[-1] == 14_996
    np.testing.assert_allclose(rate.rate[:-1], 0.2 / 1e4)


# -- diffusion ----------------------------------------------------------------------


def moving(n=150):
    rng = np.random.default_rng(0)
    free, caged = walks.brownian(n, rng, 0.3), walks.confined(n, rng, 0.3, 3.0)
    still = walks.immobile(n, rng, 0.3)
    place = np.stack([free, caged, still], axis=1) + 48
    return [
        tracks(t, [(k + 1, *place[t, k], 4.0, 0) for k in range(3) if t % 9 or k])
        for t in range(n)
    ]


def test_each_particle_has_its_d_and_its_kind():
    found = last(run(Diffusing, moving()), "diffusion")
    assert column(found, "id").tolist() == [1, 2, 3]
    d, low, high = (column(found, name) for name in ("d", "d_low", "d_high"))
    assert low[0] < 1 < high[0]
    assert d[2] < 0.05
    kinds = ("brownian", "fractional", "ctrw", "confined", "directed", "immobile")
    shares = np.stack([column(found, kind) for kind in kinds], axis=1)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [kinds[k] for k in shares.argmax(axis=1)] == [
        "brownian",
        "confined",
        "immobile",
    ]
    assert column(found, "radius_px")[1] == pytest.approx(3, rel=0.25)
    assert column(found, "first_frame").min() == 150 - 128


def test_a_change_of_d_is_seen_in_the_window():
    rng = np.random.default_rng(2)
    steps = rng.normal(0, np.repeat([0.5, 2.0], 60)[:, None], (120, 2))
    path = 48 + np.cumsum(steps, axis=0)
    said = [tracks(t, [(1, *path[t], 4.0, 0)]) for t in range(120)]
    found = last(run(Diffusing, said, exposure=0.0), "diffusion")
    assert column(found, "d_later")[0] > 4 * column(found, "d_earlier")[0]
    assert column(found, "change")[0] > 3


def test_the_ensemble_of_movers_has_its_history():
    found = last(run(Diffusing, moving()), "ensemble_diffusion")
    assert column(found, "frame").tolist() == [24, 49, 74, 99, 124, 149]
    assert column(found, "particles").tolist() == [3] * 6
    assert (column(found, "d_lower") <= column(found, "d_upper")).all()


def test_d_is_in_metres_and_seconds_where_the_scale_is_known():
    scale = {"pixel_size_m": [1e-9, 4e-9], "frame_time_s": 0.1}
    found = last(run(Diffusing, moving(), calibration=scale), "diffusion")
    np.testing.assert_allclose(
        column(found, "d_m2_s"), column(found, "d") * (4e-18 / 0.1)
    )


# -- both ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Kinetics, Diffusing])
def test_keeps_the_laws_of_a_processor(cls):
    shown = movie(STILL, disks=DISKS, dose=40)
    check_processor(cls, shown, params={**SMALL, "every": 3})


@pytest.mark.parametrize(("cls", "said"), [(Kinetics, growing), (Diffusing, moving)])
def test_batches_of_any_size_bring_the_same(cls, said):
    params = {"profile": "track"} if cls is Kinetics else {}
    one, other = (run(cls, said(100), size, **params) for size in (1, 13))
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.name, a.frame) == (b.name, b.frame)
        if a.kind == "event":
            assert a.data == b.data
        else:
            np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((40, *SHAPE), np.uint16),
        np.full((40, *SHAPE), np.nan, np.float32),
        np.full((40, *SHAPE), 65_535, np.uint16),
        np.full((40, *SHAPE), 9, np.uint16),
        np.random.default_rng(0).poisson(5, (40, *SHAPE)).astype(np.uint16),
    ],
    ids=["blank", "nan", "saturated", "repeated", "empty"],
)
@pytest.mark.parametrize("kind", ["kinetics", "diffusion"])
def test_frames_without_particles_bring_reasons(kind, bad):
    found = list(scopeside.apply(kind, bad, every=10))
    assert found
    assert not any(r.name == "change_point" for r in found)
    for result in found:
        assert result.valid or result.reason
        if result.valid and result.name == "growth":
            assert np.isnan(column(result, "law")).all()


@pytest.mark.parametrize("cls", [Kinetics, Diffusing])
def test_preparing_compiles_what_the_first_frames_need(cls):
    cls.prepare(Acquisition("a", SHAPE, np.dtype("u2")))
    known = {kernel: len(kernel.signatures) for kernel in KERNELS}
    about = {"every": 5, "track": {"max_radius_px": 8.0}}
    shown = movie(np.zeros((20, 2)), disks=DISKS, dose=40)
    list(scopeside.apply(cls, shown, **about))
    assert {kernel: len(kernel.signatures) for kernel in KERNELS} == known


@pytest.mark.parametrize("cls", [Kinetics, Diffusing])
def test_frames_of_another_size_are_refused(cls):
    processor = cls(Acquisition("a", SHAPE, np.dtype("u2")), cls.Params())
    index = np.arange(2)
    with pytest.raises(ShapeError):
        processor.process(Batch(np.ones((2, 64, 64), np.uint16), index, index))


@pytest.mark.parametrize("cls", [Kinetics, Diffusing])
def test_frames_that_could_not_be_followed_are_left_out(cls):
    said = [
        invalid("tracks", "no counts", frame=t) if t % 4 == 0 else table
        for t, table in enumerate(growing(100))
    ]
    params = {"profile": "track"} if cls is Kinetics else {}
    name = "growth" if cls is Kinetics else "diffusion"
    found = last(run(cls, said, **params), name)
    assert found.valid
    assert found.used <= 75
