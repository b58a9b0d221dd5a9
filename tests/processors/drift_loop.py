"""The whole loop on one thread and in frames' time: frame → drift → policy → view.

The simulated microscope draws each frame in the state that it is in while the frame is
exposed; the real `drift` measures it; the real adviser runs the policy; a gate decides
and commands, and what it does takes effect after a stated number of frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.control.adviser import Adviser
from scopeside.control.policy import Knows, Outcome, Policy, Seen
from scopeside.control.proposal import Proposal, Wish
from scopeside.control.settings import ControlSettings
from scopeside.control.setup import Control, Decider
from scopeside.control.timeline import Timeline
from scopeside.params import Params
from scopeside.result import Result
from scopeside_adapters.simulator.microscope import Microscope
from scopeside_adapters.simulator.movie import Movie, MovieParams
from scopeside_adapters.simulator.state import State
from scopeside_processors.insitu.drift import DriftCorrection
from scopeside_processors.policies.hold_still import HoldStill

Values = Mapping[str, Any]
FloatArray = npt.NDArray[np.float64]

PIXEL_M = 0.4e-9
FRAME_NS = 10_000_000
START_NS = 1_700_000_000_000_000_000
NM_PX = 1e-9 / PIXEL_M
"""Pixels of a nanometre."""


class Gate(Protocol):
    """Decides on proposals: the guard, or nobody."""

    def propose(self, proposal: Proposal, now_ns: int) -> tuple[str, str]:
        """Return (state, cause); with ``sent`` the command is to be carried out."""

    def answered(
        self, proposal: Proposal, values: Mapping[str, Any], now_ns: int
    ) -> str:
        """Return the state after it has been carried out."""

    def turn(self, values: Values, now_ns: int) -> None:
        """Take note of a frame's end, and of what the instrument is set to."""


class Open:
    """Lets everything pass."""

    def propose(self, proposal: Proposal, now_ns: int) -> tuple[str, str]:
        return "sent", ""

    def answered(
        self, proposal: Proposal, values: Mapping[str, Any], now_ns: int
    ) -> str:
        return "done"

    def turn(self, values: Values, now_ns: int) -> None:
        """Take no note."""


@dataclass(frozen=True)
class Setting:
    """What a loop is like.

    Attributes
    ----------
    drift_nm
        (frames, 2) where content lies (y, x), nm.
    delay
        Frames that show nothing yet of a command, after the one that led to it.
    late
        Where they pass: ``result``: a frame's result comes so late; ``instrument``:
        the instrument takes so long to do it, and says so when it is done.
    dose
        e⁻/px of a frame.
    mixed
        Commands take effect in mid-exposure, not between two.
    lost
        Frames whose result never comes.
    fogged
        Frames that show next to nothing.
    side
        Of a frame, px.
    reach
        How far content goes on beyond the first frame's edges, in sides.
    """

    drift_nm: FloatArray
    delay: int = 0
    late: str = "result"
    dose: float = 10.0
    mixed: bool = False
    lost: frozenset[int] = frozenset()
    fogged: frozenset[int] = frozenset()
    side: int = 128
    reach: float = 0.5
    seed: int = 1


@dataclass
class Course:
    """What became of it, frame by frame.

    Attributes
    ----------
    residual_nm
        (frames, 2) where content lies in the picture, nm from where it was in the
        first frame that the policy is sure of.
    vectors
        What `drift` said of each frame.
    asked
        (frame, y, x) of each wish: the last frame that was taken by then; m.
    causes
        Of what was not sent, counted.
    """

    residual_nm: FloatArray
    vectors: list[Result]
    asked: list[tuple[int, float, float]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    def rms_nm(self, first: int, end: int | None = None) -> float:
        """Return the root mean square distance from where content is held, nm."""
        away = self.residual_nm[first:end]
        return float(np.sqrt((away**2).sum(axis=1).mean()))

    def largest_nm(self, first: int = 0, end: int | None = None) -> float:
        """Return the largest distance from there, nm."""
        return float(np.hypot(*self.residual_nm[first:end].T).max())


class Naive:
    """What must not be done: the view goes on by what a frame shows of drift."""

    Params: ClassVar[type[BaseModel]] = Params

    def __init__(self, params: Any) -> None:
        self._view = np.zeros(2)

    @property
    def wants(self) -> tuple[str, ...]:
        return ("drift.drift",)

    def begin(self, acquisition: Acquisition) -> None:
        pass

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        if seen.result.valid:
            self._view = self._view + np.asarray(seen.result.data) * PIXEL_M
            # A shifter has a range; without one the figures only get larger.
            self._view = np.clip(self._view, -4e-6, 4e-6)
            y, x = self._view.tolist()
            yield Wish("set_view_offset", {"x_m": x, "y_m": y})

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        return ()


def steady(frames: int, *, still: int = 0) -> FloatArray:
    """Content that drifts by 1 nm a frame, after `still` frames."""
    return np.maximum(np.arange(frames) - still, 0)[:, None] * np.array([0.6, -0.8])


def run(
    setting: Setting,
    policy: type[Policy] = HoldStill,
    gate: Gate | None = None,
    **params: Any,
) -> Course:
    """Run a loop to its end."""
    return Loop(setting, policy, gate or Open(), params).run()


def at_first(setting: Setting) -> Values:
    """Return what the microscope says at the beginning."""
    return Microscope(_nominal(setting)).readback()


class Loop:
    """One run."""

    def __init__(
        self,
        setting: Setting,
        policy: type[Policy],
        gate: Gate,
        params: dict[str, Any],
    ) -> None:
        self._setting = setting
        self._gate = gate
        self._sure = params.get("min_confidence", 0.5)
        self._now_ns = START_NS
        nominal = _nominal(setting)
        self._movie = _movie(setting, nominal)
        self._microscope = Microscope(nominal, now_ns=lambda: self._now_ns)
        self._timeline = Timeline()
        self._timeline.take(START_NS, self._microscope.readback())
        checked = policy.Params(**params)
        one = Decider("policy", policy, checked, policy(checked).wants)
        settings = ControlSettings(valid_for_ms=10_000.0)
        self._adviser = Adviser(Control(settings, None, None, (one,)), self._timeline)
        known = {"pixel_size_m": PIXEL_M, "exposure_s": 0.0075, "frame_time_s": 0.01}
        if setting.mixed:
            known["exposure_s"] = 0.01
        self._about = Acquisition(
            "loop",
            (setting.side,) * 2,
            np.dtype("u2"),
            frames=len(setting.drift_nm),
            calibration=known,
        )
        self._drift = DriftCorrection(self._about, DriftCorrection.Params())
        self._heard: list[tuple[int, Result]] = []
        self._under_way: list[tuple[int, Proposal]] = []
        self._missed = 0
        self._views: list[tuple[float, float]] = []
        self.course = Course(np.zeros((0, 2)), [])

    def run(self) -> Course:
        """Take every frame, and act on it."""
        self._adviser.begin(self._about)
        for frame in range(len(self._setting.drift_nm)):
            self._take(frame)
            self._hear(frame)
        offset_nm = np.array(self._views) * 1e9
        places = self._setting.drift_nm - offset_nm
        sure = [
            r.frame
            for r in self.course.vectors
            if r.valid and r.meta["confidence"] >= self._sure
        ]
        self.course.residual_nm = places - places[sure[0] if sure else 0]
        return self.course

    def _take(self, frame: int) -> None:
        """Draw a frame, and measure it; commands that are due take effect in it."""
        # A detector reads out before it exposes again; commands come in between.
        self._now_ns = START_NS + frame * FRAME_NS + FRAME_NS // 10
        before = self._microscope.state
        if self._setting.mixed:
            self._now_ns = START_NS + frame * FRAME_NS + FRAME_NS // 2
        self._carry_out(frame)
        after = self._microscope.state
        self._now_ns = START_NS + (frame + 1) * FRAME_NS
        pixels = self._drawn(frame, before, after)
        self._views.append((after.view_offset_y_m, after.view_offset_x_m))
        index, t_ns = np.array([frame]), np.array([self._now_ns])
        self._drift.process(Batch(pixels, index, t_ns))
        for result in self._drift.results():
            if result.name == "drift":
                self.course.vectors.append(result)
                self._heard.append((self._now_ns, result))
        self._gate.turn(self._microscope.readback(), self._now_ns)

    def _drawn(self, frame: int, before: State, after: State) -> npt.NDArray[Any]:
        side = self._setting.side
        index, pixels = np.array([frame]), np.empty((1, side, side), "u2")
        self._movie.render(index, pixels, after)
        if before != after and self._setting.mixed:
            early = np.empty_like(pixels)
            self._movie.render(index, early, before)
            pixels[:, : side // 2] = early[:, : side // 2]
        if frame in self._setting.fogged:
            rng = np.random.default_rng([self._setting.seed, frame])
            pixels[:] = rng.poisson(0.02, pixels.shape)
        return pixels

    def _hear(self, frame: int) -> None:
        """Give the policy what is known by now."""
        late = self._setting.delay if self._setting.late == "result" else 0
        if len(self._heard) <= late:
            return
        t_ns, result = self._heard.pop(0)
        if result.frame in self._setting.lost:
            self._missed += 1
            return
        seen = Seen(self._about, 0, "movie", "drift", result, t_ns, self._missed)
        self._missed = 0
        self._propose(self._adviser.hear(seen, self._now_ns), frame)

    def _propose(self, proposals: list[Proposal], frame: int) -> None:
        for proposal in proposals:
            view = proposal.fields["y_m"], proposal.fields["x_m"]
            self.course.asked.append((frame, *view))
            state, cause = self._gate.propose(proposal, self._now_ns)
            if state == "sent":
                wait = self._setting.delay if self._setting.late == "instrument" else 0
                self._under_way.append((frame + 1 + wait, proposal))
                if wait:
                    self._timeline.take(self._now_ns, None)
                continue
            self.course.causes[cause or state] += 1
            self._decided(proposal, state, cause)

    def _carry_out(self, frame: int) -> None:
        due = [one for at, one in self._under_way if at <= frame]
        self._under_way = [(at, one) for at, one in self._under_way if at > frame]
        for proposal in due:
            answer = self._microscope.command(
                {"action": proposal.action, "id": proposal.id, **proposal.fields}
            )
            assert answer.ok, answer.reason
            values = self._microscope.readback()
            self._timeline.take(self._now_ns, None)
            self._timeline.take(self._now_ns + 1, values)
            state = self._gate.answered(proposal, values, self._now_ns)
            self._decided(proposal, state, "")

    def _decided(self, proposal: Proposal, state: str, cause: str) -> None:
        more = self._adviser.decided(proposal.id, state, cause, "", self._now_ns)
        assert not more  # these policies answer with the next frame
        assert not self._adviser.notes, self._adviser.notes


def _nominal(setting: Setting) -> State:
    fov_m = setting.side * PIXEL_M
    rate = setting.dose / (PIXEL_M * 1e10) ** 2 / 0.01
    return State(fov_m=fov_m, exposure_s=0.0075, dose_rate_e_per_A2_s=rate / 0.75)


def _movie(setting: Setting, nominal: State) -> Movie:
    """Return a movie whose content drifts as `setting` says."""
    params = MovieParams(
        pixel_size_m=PIXEL_M,
        nuclei=3,
        fiducials=0,
        hot_pixels=4,
        wander_px=0.0,
    )
    frames = len(setting.drift_nm)
    movie = Movie(
        params, frames, (setting.side,) * 2, seed=setting.seed, nominal=nominal
    )
    rng = np.random.default_rng(setting.seed)
    reach = setting.reach
    count = round(40 * (1 + 2 * reach) ** 2 * (setting.side / 128) ** 2)
    places = rng.uniform(-reach, 1 + reach, (count, 2)) * setting.side
    drift_px = setting.drift_nm * NM_PX
    movie._truth = replace(movie.truth(), drift=drift_px, fiducials=places)
    return movie
