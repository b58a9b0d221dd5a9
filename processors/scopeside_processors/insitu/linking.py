"""Links detections into tracks, frame by frame; knows no stream and no image.

Every track has a probability that it is a particle at all, which grows with what fits
it and falls with what is missing (integrated probabilistic data association [1]_, the
score of [2]_ in other words). How high a detection stands above the noise counts as
evidence of its own, so that a weak detection may carry on a track but cannot begin one,
and a track of weak detections needs many of them. Who gets which detection is decided
for all tracks at once; what is then left over may still move a track whose particle it
could be, by its probability.

References
----------
.. [1] D. Mušicki, R. Evans and S. Stankovic, IEEE Trans. Autom. Control 39, 1237
   (1994), doi:10.1109/9.293185
.. [2] S. S. Blackman, IEEE Aerosp. Electron. Syst. Mag. 19, 5 (2004),
   doi:10.1109/MAES.2004.1263228
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from scopeside_processors.insitu.assignment import assign, near
from scopeside_processors.insitu.clutter import maxima_above, maxima_of_noise
from scopeside_processors.insitu.motion_bank import Bank, Models, news
from scopeside_processors.insitu.tracks import Tracks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_SEEN = 0.95
"""Probability that a particle well above the noise is seen: others may hide it."""
_HIDDEN = 0.5
"""The same for one that lies so near to another that the two may show as one."""
_STAYS = 0.999
"""Probability that a particle is still there after a frame."""
_SUREST = 12.0
"""Largest logarithm of the odds: doubt must be able to return within some frames."""
_TIMES = 4.0
"""Standard deviations around a track within which detections are looked at."""
_DOUBLE = 0.01
"""Share of the particles that appear just where another is."""
_RANGE = 12.0
"""Particles not yet known are taken to be as likely at any height over this range."""
_FLICKER = 0.1
"""Change of a particle's height from frame to frame, by its height."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a linker goes by.

    Attributes
    ----------
    shape : of the frame, px; tracks that leave it end
    largest_step : px per frame, of the fastest random walk, root mean square by axis
    least_snr : the height from which detections are given; None: they have no height
    correlation : px, standard deviation of the narrowest matched filter
    crowd : particles per px² that are expected in the first frame
    births : particles per px² and frame that appear later
    confirm : probability from which a track is shown
    """

    shape: tuple[int, int]
    largest_step: float = 4.0
    least_snr: float | None = None
    correlation: float = 2.3
    crowd: float = 1e-4
    births: float = 1e-6
    confirm: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n places in a frame.

    Attributes
    ----------
    places : (n, 2) float64, px
    sigma : (n,) px, standard deviation of each coordinate
    snr : (n,) height over the noise; 0 where it has no meaning
    radius : (n,) px
    """

    places: FloatArray
    sigma: FloatArray
    snr: FloatArray
    radius: FloatArray

    def __len__(self) -> int:
        return len(self.places)


class Linker:
    """Follows particles from frame to frame."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.models = Models.up_to(rules.largest_step)
        nothing = np.zeros(0)
        self.tracks = Tracks.new(
            np.zeros(0, np.int64), nothing, nothing, nothing,
            Bank.new(np.zeros((0, 2)), nothing, self.models),
            np.zeros((0, 2)), nothing,
        )  # fmt: skip
        self.next_id = 0
        self._corner = (0.0, 0.0)
        self.unseen = rules.crowd
        self.clutter = 1.0
        self.independent = 1.0

    def step(
        self,
        seen: Detections,
        frames: int = 1,
        corner: tuple[float, float] = (0.0, 0.0),
    ) -> IntArray:
        """Link the detections of a frame that comes `frames` after the last.

        `corner` is the place of the frame's first pixel; tracks that leave it end.

        Returns
        -------
        (n,) int64
            The id of the track that each detection belongs to, -1 where it has none.
            Whatever their order, the same detections give the same tracks.
        """
        order = np.lexsort((seen.snr, seen.places[:, 1], seen.places[:, 0]))
        seen = Detections(*(getattr(seen, k)[order] for k in Detections.__slots__))
        self._predict(frames)
        floor = self._floor(seen)
        track, place = self._near(seen)
        owner = np.full(len(seen), -1, np.int64)
        new = self._new_odds(seen, floor)
        taken = self._take_in(seen, floor * (1 + np.exp(new)), track, place, owner)
        self._begin(seen, new, taken, owner)
        self._count(taken)
        self._corner = corner
        self._prune()
        ids = np.full(len(seen), -1, np.int64)
        ids[order] = owner
        return ids

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "tracks": self.tracks.state(),
            "next_id": self.next_id,
            "unseen": self.unseen,
            "clutter": self.clutter,
            "corner": list(self._corner),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.tracks = Tracks.of(state["tracks"])
        self.next_id = state["next_id"]
        self.unseen, self.clutter = state["unseen"], state["clutter"]
        self._corner = tuple(state["corner"])

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Which tracks are particles, by what is known now."""
        return self.tracks.confirmed & (self.tracks.odds > 0)

    def _predict(self, frames: int) -> None:
        tracks = self.tracks
        tracks.bank.predict(self.models, frames)
        chance = _STAYS**frames / (1 + np.exp(-tracks.odds))
        tracks.odds = np.log(chance) - np.log1p(-chance)
        tracks.snr_var += frames * (_FLICKER * tracks.snr) ** 2
        tracks.age += frames
        tracks.since += frames
        self.unseen = 0.9**frames * self.unseen + self.rules.births * frames

    def _floor(self, seen: Detections) -> FloatArray:
        """Return (n,) 1/px² (and unit of height): how dense clutter like it is."""
        if self.rules.least_snr is None:
            return np.full(len(seen), 0.1 * self.rules.births)
        return self.clutter * maxima_of_noise(seen.snr, self.rules.correlation)

    def _hidden(self) -> npt.NDArray[np.bool_]:
        """Return whether a track lies so near to another that they show as one."""
        hidden = np.zeros(len(self.tracks), np.bool_)
        particle = np.flatnonzero(self.tracks.confirmed)
        place = self.tracks.bank.mean()[0][particle]
        radius = self.tracks.radius[particle]
        if len(particle) > 1:
            one, other = near(place, radius + radius.max(), place)
            apart = np.hypot(*(place[one] - place[other]).T)
            touch = (one != other) & (apart < radius[one] + radius[other])
            hidden[particle[one[touch]]] = True
        return hidden

    def _near(self, seen: Detections) -> tuple[IntArray, IntArray]:
        tracks = self.tracks
        if not len(tracks) or not len(seen):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        reach = tracks.bank.reach(_TIMES) + _TIMES * float(np.median(seen.sigma))
        return near(tracks.bank.mean()[0], reach, seen.places)

    def _take_in(
        self,
        seen: Detections,
        others: FloatArray,
        track: IntArray,
        place: IntArray,
        owner: IntArray,
    ) -> FloatArray:
        """Update the tracks; return (n,) how much of each detection they explain.

        `others` (n,) is how dense all else is that a detection may be: clutter, and
        particles that nobody follows yet.
        """
        tracks, bank = self.tracks, self.tracks.bank
        fits = bank.likelihood(track, seen.places[place], seen.sigma[place])
        visible = np.where(self._hidden(), _HIDDEN, _SEEN)
        height, missed = self._heights(seen, track, place, visible)
        ratio = fits * (height / others[place])[:, None]
        whole = (bank.weight[track] * ratio).sum(axis=1)
        chance = 1 / (1 + np.exp(-tracks.odds))
        with np.errstate(divide="ignore"):
            gain = np.log(chance[track] * whole) - np.log1p(
                -(chance * (1 - missed))[track]
            )
        worth = gain > 0
        chosen = np.zeros(len(track), np.bool_)
        chosen[worth] = assign(
            track[worth], place[worth], gain[worth], (len(tracks), len(seen))
        )
        owned = np.zeros(len(seen), np.bool_)
        owned[place[chosen]] = True
        keep = chosen | ~owned[place]
        track, place, ratio = track[keep], place[keep], ratio[keep]
        whole, chosen = whole[keep], chosen[keep]
        evidence = bank.update(
            track, seen.places[place], seen.sigma[place], ratio, missed
        )
        gained = np.log(evidence)
        doubted = (gained > 0) & ~tracks.confirmed
        steps = np.hypot(self.models.step, np.hypot(*np.moveaxis(bank.velocity, 2, 0)))
        new = (bank.weight * news(self.independent, steps)).sum(axis=1)
        gained[doubted] *= new[doubted]
        tracks.odds = np.minimum(tracks.odds + gained, _SUREST)
        chance = 1 / (1 + np.exp(-tracks.odds))
        share = whole / evidence[track] * chance[track]
        self._describe(seen, track[chosen], place[chosen])
        owner[place[chosen]] = tracks.id[track[chosen]]
        return np.minimum(np.bincount(place, share, len(seen)), 1.0)

    def _heights(
        self, seen: Detections, track: IntArray, place: IntArray, visible: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return (p,) how the heights fit, and (n,) how likely it is to see none."""
        least = self.rules.least_snr
        if least is None:
            return visible[track], 1 - visible
        spread = np.sqrt(1 + self.tracks.snr_var)
        away = (seen.snr[place] - self.tracks.snr[track]) / spread[track]
        fits = np.exp(-0.5 * away**2) / (math.sqrt(2 * math.pi) * spread[track])
        # A wide share keeps a track from losing a particle whose height jumps, as it
        # does where two show as one.
        wide = np.where(visible < _SEEN, 0.5, 0.02)[track]
        fits = (1 - wide) * fits + wide / _RANGE
        above = ndtr((self.tracks.snr - least) / spread)
        return visible[track] * fits, 1 - visible * above

    def _new_odds(self, seen: Detections, floor: FloatArray) -> FloatArray:
        """Return (n,) logarithm of the odds that it is a particle not yet known."""
        wide = 1.0 if self.rules.least_snr is None else 1 / _RANGE
        unseen = np.full(len(seen), self.unseen)
        particle = np.flatnonzero(self.tracks.confirmed)
        place = self.tracks.bank.mean()[0][particle]
        _, inside = near(place, self.tracks.radius[particle], seen.places)
        # Where a particle is followed, there is hardly another one.
        unseen[inside] = _DOUBLE * self.rules.births
        return np.log(unseen * wide / floor)

    def _describe(self, seen: Detections, track: IntArray, place: IntArray) -> None:
        """Take in height and radius of what belongs to a track."""
        tracks = self.tracks
        share = tracks.snr_var[track] / (1 + tracks.snr_var[track])
        tracks.snr[track] += share * (seen.snr[place] - tracks.snr[track])
        tracks.snr_var[track] *= 1 - share
        weight = np.minimum(tracks.radius_weight[track] + 1, 20)
        tracks.radius[track] += (seen.radius[place] - tracks.radius[track]) / weight
        tracks.radius_weight[track] = weight
        tracks.measured[track] = seen.places[place]
        tracks.measured_sigma[track] = seen.sigma[place]
        tracks.measured_radius[track] = seen.radius[place]
        tracks.seen[track] += 1
        tracks.since[track] = 0

    def _begin(
        self, seen: Detections, odds: FloatArray, taken: FloatArray, owner: IntArray
    ) -> None:
        """Begin tracks where a detection stands out and belongs to none."""
        odds = odds.copy()
        with np.errstate(divide="ignore"):
            odds += np.log(1 - taken)
        start = np.flatnonzero((owner < 0) & (odds > -1))
        if not len(start):
            return
        ids = self.next_id + np.arange(len(start))
        self.next_id += len(start)
        new = Tracks.new(
            ids,
            np.minimum(odds[start], _SUREST),
            seen.snr[start].copy(),
            seen.radius[start].copy(),
            Bank.new(seen.places[start], seen.sigma[start], self.models),
            seen.places[start],
            seen.sigma[start],
        )
        self.tracks = self.tracks.joined(new)
        owner[start] = ids

    def move(self, shift: tuple[float, float]) -> None:
        """Take all places to other coordinates."""
        self.tracks.bank.place += shift
        self.tracks.measured += shift

    def end(self, ids: list[int]) -> None:
        """Let go of some tracks."""
        if ids:
            self.tracks = self.tracks.take(~np.isin(self.tracks.id, ids))

    def forget(self) -> None:
        """Let go of all tracks."""
        self.tracks = self.tracks.take(np.zeros(0, np.int64))
        self.unseen = self.rules.crowd

    def begin(
        self,
        places: FloatArray,
        sigma: FloatArray,
        odds: FloatArray,
        snr: FloatArray,
        radius: FloatArray,
    ) -> None:
        """Begin tracks at `places` (n, 2) px, with errors `sigma`, all (n,)."""
        ids = self.next_id + np.arange(len(places))
        self.next_id += len(places)
        bank = Bank.new(places, sigma, self.models)
        odds = np.minimum(odds, _SUREST)
        new = Tracks.new(ids, odds, snr, radius, bank, places, sigma)
        self.tracks = self.tracks.joined(new)
        self._prune()

    def _count(self, taken: FloatArray) -> None:
        """Learn how dense clutter is, from what no track explains."""
        least = self.rules.least_snr
        if least is None:
            return
        expected = (
            self.rules.shape[0] * self.rules.shape[1]
            * maxima_above(least, self.rules.correlation)
        )  # fmt: skip
        found = max(float((1 - taken).sum()), 0.25 * expected) / expected
        self.clutter += 0.1 * (min(found, 20.0) - self.clutter)

    def _prune(self) -> None:
        """Let go of tracks that are none, and of those that have left."""
        tracks = self.tracks
        tracks.confirmed |= tracks.odds > math.log(
            self.rules.confirm / (1 - self.rules.confirm)
        )
        place, _, var = tracks.bank.mean()
        size = np.array(self.rules.shape)
        from_corner = place - np.array(self._corner)
        inside = ((from_corner > -1) & (from_corner < size)).all(axis=1)
        least = np.where(tracks.confirmed, -5.0, -6.0)
        lost = var > (6 * self.rules.largest_step) ** 2
        stays = inside & (tracks.odds > least) & ~lost
        if not stays.all():
            self.tracks = tracks.take(stays)
