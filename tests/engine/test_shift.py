"""How content moves with a shifter: where it is moved, what is fitted and refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.control.calibration import Calibration
from scopeside.control.instrument import Readback
from scopeside.control.settings import ActionLimits
from scopeside.control.shift_fit import Visit, fit, objections
from scopeside.control.shift_measure import Measurement, seen_in
from scopeside.control.shift_plan import check, star, step_for
from scopeside.control.view import Mover, View
from scopeside.errors import ConfigError, EngineError, RefusedError
from scopeside.messages import validate
from scopeside.result import Result, invalid
from scopeside_processors.insitu.drift import DriftCorrection

STEP = 2e-8
NM = 1e-9
FIELD = {"min": -1e-6, "max": 1e-6, "step": 5e-8, "excursion": 1e-7, "tolerance": 1e-9}
LIMITS = {"every_s": 0.1, "x_m": FIELD, "y_m": FIELD}


def turned(angle, scale=1.0, shear=0.0, *, mirrored=False):
    c, s = math.cos(angle), math.sin(angle)
    flip = np.diag([1.0, -1.0 if mirrored else 1.0])
    return scale * np.array([[c, -s], [s, c]]) @ [[1.0, shear], [0.0, 1.0]] @ flip


def visits_of(matrix, *, noise=0.0, drift=(0.0, 0.0), repeats=2, seed=0, segment=None):
    rng = np.random.default_rng(seed)
    places = star((3e-7, -1e-7), STEP, repeats)
    return [
        Visit(
            np.array(place),
            matrix @ place + np.array(drift) * 0.7 * k + rng.normal(0, noise, 2),
            np.eye(2) * noise**2,
            1e9 + 0.7 * k,
            segment(k) if segment else "",
        )
        for k, place in enumerate(places)
    ]


matrices = st.builds(
    turned,
    st.floats(-math.pi, math.pi),
    st.floats(0.2, 3.0),
    st.floats(-0.4, 0.4),
    mirrored=st.booleans(),
)


@settings(max_examples=60)
@given(
    matrices,
    st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    st.floats(0.0, 0.1),
    st.integers(0, 2**31),
)
def test_any_matrix_is_found_within_its_stated_uncertainty(matrix, drift, noise, seed):
    drift = np.array(drift) * NM
    visits = visits_of(matrix, noise=noise * NM, drift=drift, seed=seed)
    found = fit(visits, STEP)
    error = (found.matrix - matrix).reshape(4)
    spread = found.covariance + np.eye(4) * 1e-18
    # Four degrees of freedom: 40 is passed once in 20 million times.
    assert error @ np.linalg.solve(spread, error) < 40
    assert found.mirrored == (np.linalg.det(matrix) < 0)
    assert found.scales == pytest.approx(
        np.linalg.svd(matrix, compute_uv=False), abs=1e-2
    )


def test_the_stated_uncertainty_is_that_of_many_measurements():
    matrix = turned(0.7, 1.3, 0.1, mirrored=True)
    found = [fit(visits_of(matrix, noise=NM, seed=k), STEP) for k in range(400)]
    scatter = np.std([one.matrix.reshape(4) for one in found], axis=0)
    stated = np.sqrt(np.mean([np.diag(one.covariance) for one in found], axis=0))
    assert np.all(scatter < stated)
    assert np.all(scatter > 0.8 * stated)
    angles = np.array([one.rotation_rad for one in found])
    sigmas = np.array([one.rotation_sigma_rad for one in found])
    assert 0.8 * sigmas.mean() < angles.std() < sigmas.mean()


def test_steady_drift_takes_nothing_away_however_fast_it_is():
    matrix = turned(1.0, 0.9)
    still, drifting = (
        fit(visits_of(matrix, drift=drift), STEP)
        for drift in ((0, 0), (60 * NM, -90 * NM))
    )
    # A time since 1970 is known to 0.1 µs.
    assert drifting.matrix == pytest.approx(still.matrix, abs=1e-6)
    assert drifting.drift_m_per_s == pytest.approx([60 * NM, -90 * NM])
    assert not objections(drifting, STEP)


def test_a_rotation_is_the_angle_that_the_picture_is_turned_by():
    for angle in (-3.0, 0.0, 0.5, 3.1):
        for mirrored in (False, True):
            found = fit(visits_of(turned(angle, mirrored=mirrored)), STEP)
            assert found.rotation_rad == pytest.approx(angle)
            assert found.mirrored is mirrored


def test_places_of_two_segments_have_origins_of_their_own():
    matrix = turned(0.3)
    visits = [
        Visit(
            one.actuator,
            one.place + (0 if k < 9 else 1e-6),
            one.covariance,
            one.t_s,
            "a" if k < 9 else "b",
        )
        for k, one in enumerate(visits_of(matrix))
    ]
    assert fit(visits, STEP).matrix == pytest.approx(matrix, abs=1e-9)


def test_what_does_not_determine_the_matrix_gives_none():
    visits = visits_of(turned(0.0))
    assert fit(visits[:4], STEP) is None
    along_x = [one for one in visits if one.actuator[1] == visits[0].actuator[1]]
    assert fit(along_x, STEP) is None
    lost = visits_of(turned(0.0), segment=str)
    assert fit(lost, STEP) is None
    assert "too few positions" in objections(None, STEP)[0]


@pytest.mark.parametrize(
    ("visits", "says"),
    [
        (visits_of(turned(0.0), noise=4 * NM), "the matrix is uncertain by"),
        (visits_of(turned(0.0), noise=4 * NM, repeats=25), "places lie"),
        (visits_of(np.array([[1.0, 0.0], [0.0, 0.1]])), "cannot move the picture"),
        (visits_of(np.zeros((2, 2)), noise=0.1 * NM), "uncertain by"),
        (visits_of(turned(0.0), repeats=1)[:7], "too few positions"),
    ],
)
def test_a_bad_fit_says_why_it_is_bad(visits, says):
    assert any(says in sentence for sentence in objections(fit(visits, STEP), STEP))


# -- where it is moved --------------------------------------------------------------


def test_a_star_begins_and_ends_at_its_start_and_no_move_is_longer_than_a_step():
    places = np.array(star((1.0, 2.0), 0.5, 3))
    assert places[0].tolist() == places[-1].tolist() == [1.0, 2.0]
    moves = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert moves == pytest.approx(0.5)
    assert len(places) == 1 + 3 * 8


def test_drift_is_no_motion_along_an_axis_after_an_even_number_of_rounds():
    places = np.array(star((0.0, 0.0), 1.0, 2))
    time = np.arange(len(places)) - (len(places) - 1) / 2
    assert places.T @ time == pytest.approx([0, 0])


def test_a_step_keeps_to_the_tightest_limit_and_to_the_field_of_view():
    limits = validate(ActionLimits, LIMITS)
    assert step_for(limits, 2e-7) == pytest.approx(2e-8)
    assert step_for(limits, None) == pytest.approx(4.5e-8)
    with pytest.raises(ConfigError, match="--step"):
        step_for(validate(ActionLimits, {"every_s": 1.0}), None)


@pytest.mark.parametrize(
    ("start", "step", "says"),
    [
        ((0.99e-6, 0.0), 2e-8, r"x_m would go from 9\.7e-07 to 1\.01e-06"),
        ((0.0, -0.99e-6), 2e-8, "y_m would go"),
        ((0.0, 0.0), 6e-8, r"more than the limit of x_m\.step"),
        ((0.0, 0.0), 2e-7, r"x_m\.step"),
    ],
)
def test_what_the_limits_forbid_is_not_begun(start, step, says):
    with pytest.raises(ConfigError, match=says):
        check(star(start, step, 1), step, validate(ActionLimits, LIMITS))


def test_an_axis_without_limits_is_not_moved():
    limits = validate(ActionLimits, {"every_s": 1.0, "x_m": FIELD})
    with pytest.raises(ConfigError, match="y_m has no limits"):
        check(star((0, 0), STEP, 1), STEP, limits)


# -- a microscope whose axes are turned ---------------------------------------------


class Scope:
    """A microscope with a guard and a drift processor; its clock goes by frames."""

    FRAME_NS = 40_000_000

    def __init__(self, matrix, drift=(3 * NM, -2 * NM), noise=0.2 * NM, lag_ns=0):
        self.matrix, self.drift, self.noise = matrix, np.array(drift), noise
        self.lag_ns = lag_ns
        self.shift = np.array([3e-7, -1e-7])
        self.state = {"magnification": 1e5, "mode": "TEM"}
        self.history = [(0, self.shift)]
        self.t_ns = 10**18
        self.asked = []
        self.fails = {}
        self.rng = np.random.default_rng(3)
        self.frame = 0

    # the guard

    def status(self):
        self.t_ns += 1000
        x, y = self.shift.tolist()
        place = {"image_shift_x_m": x, "image_shift_y_m": y}
        return {"mode": "advise", "readback": {**place, **self.state}}

    def do(self, action, fields):
        self.asked.append((action, dict(fields)))
        self.t_ns += 5_000_000
        failure = self.fails.pop(len(self.asked), None)
        if failure is not None:
            raise failure
        self.shift = np.array([fields["x_m"], fields["y_m"]])
        self.history.append((self.t_ns, self.shift))

    # the picture

    def content(self, t_ns):
        """The mean place of the content during the frame that ends at `t_ns`."""
        within = [self.history[0][1]] * 8
        for k in range(8):
            at = t_ns - self.FRAME_NS * (k + 0.5) / 8 - self.lag_ns
            within[k] = next(s for since, s in reversed(self.history) if since <= at)
        moved = np.mean(within, axis=0) - self.history[0][1]
        return self.matrix @ moved + self.drift * ((t_ns - 10**18) / 1e9)

    def results(self):
        while True:
            self.t_ns += self.FRAME_NS
            self.frame += 1
            place = self.content(self.t_ns) + self.rng.normal(0, self.noise, 2)
            meta = {
                "covariance": (np.eye(2) * 0.5**2).tolist(),
                "segment": 0,
                "acq": "m1",
                "t_frame_ns": self.t_ns,
            }
            if self.frame % 7 == 0:
                yield invalid("drift", "dark", frame=self.frame)
            yield Result("drift", place[::-1] / 4e-10, "series", meta=meta)

    def sleep(self, seconds):
        self.t_ns += round(seconds * 1e9)

    def measurement(self, **changes):
        self.said = []
        values = {
            "guard": self,
            "results": self.results(),
            "actuator": "image_shift",
            "pixel_m": (4e-10, 4e-10),
            "frames": 6,
            "settle_s": 0.0,
            "every_s": 0.1,
            "say": self.said.append,
            "now_ns": lambda: self.t_ns,
            "sleep": self.sleep,
        }
        return Measurement(**{**values, **changes})


def test_the_turned_axes_of_a_microscope_are_found_and_its_view_then_goes_where_told():
    scope = Scope(turned(math.radians(112), 0.93, 0.05, mirrored=True))
    start = scope.shift
    one = scope.measurement()
    found = fit(one.run(star(one.place(), STEP, 2)), STEP)
    assert not objections(found, STEP)
    assert found.matrix == pytest.approx(scope.matrix, abs=5 * found.relative_sigma)
    assert found.drift_m_per_s == pytest.approx(scope.drift, abs=1e-10)
    assert scope.shift == pytest.approx(start)
    assert scope.said[-1].startswith("image_shift is back at x = 3e-07 m")
    assert scope.said[0].startswith("1/17: image_shift by (+0.00, +0.00) nm")
    calibration = validate(
        Calibration,
        {
            "actuator": "image_shift",
            "matrix": found.matrix.tolist(),
            "covariance": found.covariance.tolist(),
            "state": scope.state,
            "measured_on": "2026-11-26T12:00:00Z",
            "instrument": "some",
            "step_m": STEP,
            "residual_m": found.residual_m,
            "visits": found.visits,
        },
    )
    view = View(Mover("image_shift", (calibration,), start), None, 1e-6)
    readback = Readback(0, scope.status()["readback"])
    (call,) = view.plan(40 * NM, -25 * NM, readback)
    moved = np.array([call.fields["x_m"], call.fields["y_m"]]) - start
    assert scope.matrix @ moved == pytest.approx([-40 * NM, 25 * NM], abs=0.5 * NM)


def test_moves_are_as_far_apart_in_time_as_the_limits_say():
    scope = Scope(turned(0.0))
    scope.measurement(every_s=0.7, frames=1).run(star((3e-7, -1e-7), STEP, 1))
    assert np.diff([t for t, _ in scope.history[1:]]).min() >= 0.7e9


def test_frames_that_began_before_the_move_or_while_it_settled_are_not_believed():
    slow = Scope(turned(0.5), lag_ns=200_000_000, noise=0.0)
    one = slow.measurement(settle_s=0.3)
    good = fit(one.run(star(one.place(), STEP, 2)), STEP)
    assert good.matrix == pytest.approx(slow.matrix, abs=1e-6)
    hasty = Scope(turned(0.5), lag_ns=200_000_000, noise=0.0)
    one = hasty.measurement()
    bad = fit(one.run(star(one.place(), STEP, 2)), STEP)
    assert any("longer settle" in one for one in objections(bad, STEP))


def test_a_guard_that_is_busy_is_asked_again():
    scope = Scope(turned(0.5))
    scope.fails = {2: RefusedError("busy", "busy"), 3: RefusedError("soon", "rate")}
    assert len(scope.measurement().run(star((3e-7, -1e-7), STEP, 1))) == 9


def test_after_a_refusal_it_goes_back_and_the_refusal_is_told():
    scope = Scope(turned(0.5))
    start = scope.shift
    scope.fails = {3: RefusedError("too far", "excursion")}
    with pytest.raises(RefusedError, match="too far"):
        scope.measurement().run(star((3e-7, -1e-7), STEP, 1))
    assert scope.shift == pytest.approx(start)
    assert "is back at" in scope.said[-1]


@pytest.mark.parametrize("at", [1, 2, 5])
def test_ctrl_c_goes_back_to_the_start_whenever_it_comes(at):
    scope = Scope(turned(0.5))
    start = scope.shift
    scope.fails = {at: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        scope.measurement().run(star((3e-7, -1e-7), STEP, 1))
    assert scope.asked[-1] == ("set_image_shift", {"x_m": 3e-7, "y_m": -1e-7})
    assert scope.shift == pytest.approx(start)
    assert "is back at" in scope.said[-1]


def test_what_cannot_go_back_says_where_it_was_to_be():
    scope = Scope(turned(0.5))
    parked = RefusedError("parked", "parked")
    scope.fails = {2: parked, 3: parked}
    with pytest.raises(RefusedError):
        scope.measurement().run(star((3e-7, -1e-7), STEP, 1))
    assert scope.said[-1] == (
        "could NOT go back to image_shift x = 3e-07 m, y = -1e-07 m: parked; put it "
        "there by hand"
    )


def test_frames_that_cease_to_come_end_it_at_the_start():
    scope = Scope(turned(0.5))
    results = (one for one, _ in zip(scope.results(), range(30), strict=False))
    with pytest.raises(EngineError, match="of 6 frames showed where the content is"):
        scope.measurement(results=results).run(star((3e-7, -1e-7), STEP, 1))
    assert scope.shift == pytest.approx([3e-7, -1e-7])


def test_content_that_is_never_found_ends_it_after_a_while():
    scope = Scope(turned(0.5))

    def lost():
        for result in scope.results():
            yield invalid("drift", "lost", meta=result.meta)

    with pytest.raises(EngineError, match="0 of 6 frames"):
        scope.measurement(results=lost()).run(star((3e-7, -1e-7), STEP, 1))


def test_another_optical_state_in_the_midst_of_it_ends_it():
    scope = Scope(turned(0.5))

    def results():
        for k, result in enumerate(scope.results()):
            if k == 40:
                scope.state = {"magnification": 2e5, "mode": "TEM"}
            yield result

    with pytest.raises(EngineError, match="magnification is 200000, and was 100000"):
        scope.measurement(results=results()).run(star((3e-7, -1e-7), STEP, 2))
    assert scope.shift == pytest.approx([3e-7, -1e-7])


def test_an_instrument_that_does_not_say_where_it_is_is_not_moved():
    scope = Scope(turned(0.5))
    with pytest.raises(EngineError, match="does not say where its beam_shift is"):
        scope.measurement(actuator="beam_shift").place()


def test_a_guard_that_never_says_what_is_set_is_given_up():
    scope = Scope(turned(0.5))
    scope.status = lambda: {"readback": None}
    with pytest.raises(EngineError, match="does not say what the instrument"):
        scope.measurement().place()


def test_a_place_in_a_frame_is_turned_from_rows_and_columns_into_x_and_y():
    meta = {"covariance": [[4.0, 1.0], [1.0, 9.0]], "t_frame_ns": 5, "segment": 2}
    result = Result("drift", np.array([2.0, -3.0]), "series", meta=meta)
    seen = seen_in(result, (1e-9, 2e-9))
    assert seen.place == pytest.approx([-6e-9, 2e-9])
    assert seen.covariance * 1e18 == pytest.approx(np.array([[36.0, 2.0], [2.0, 4.0]]))
    assert seen_in(invalid("drift", "lost"), (1e-9, 1e-9)) is None
    assert seen_in(Result("drift", np.array([math.nan, 0]), meta=meta), (1, 1)) is None


def test_pictures_are_enough_with_the_drift_that_the_processor_finds():
    """The whole of it, frames included: a texture of 96 × 96 px that is moved."""
    scope = Scope(turned(math.radians(-40), 1.1, mirrored=True), noise=0.0)
    pixel_m = 4e-10
    calibration = {"pixel_size_m": pixel_m, "frame_time_s": 0.04}
    movie = Acquisition("m1", (96, 96), np.dtype("u2"), calibration=calibration)
    rng = np.random.default_rng(1)
    texture = np.fft.rfft2(ndimage.gaussian_filter(rng.normal(size=(256, 256)), 2))
    processor = DriftCorrection(movie, DriftCorrection.Params(trace_every=0))

    def results():
        for k in range(1000):
            scope.t_ns += scope.FRAME_NS
            at = scope.content(scope.t_ns)[::-1] / pixel_m
            moved = np.fft.irfft2(ndimage.fourier_shift(texture, at, n=256))
            field = moved[80:176, 80:176] / moved.std()
            frame = rng.poisson(20 * np.exp(0.2 * field)).astype("u2")
            stamp = np.array([scope.t_ns])
            processor.process(Batch(frame[None], np.array([k]), stamp))
            for result in processor.results():
                result.meta["t_frame_ns"] = scope.t_ns
                yield result

    one = scope.measurement(results=results(), frames=4, pixel_m=(pixel_m, pixel_m))
    found = fit(one.run(star(one.place(), 4 * NM, 2)), 4 * NM)
    assert not objections(found, 4 * NM)
    error = (found.matrix - scope.matrix).reshape(4)
    assert error @ np.linalg.solve(found.covariance, error) < 40
    assert np.abs(error).max() < 0.02
