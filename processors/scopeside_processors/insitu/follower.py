"""Follows the particles of one frame after another, in coordinates of the specimen.

`Follower` knows particles and drift, and no stream: frames come to it one by one, those
that are usable, with the number that passed and what is known of their drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scopeside_processors.insitu.constellation import recognise
from scopeside_processors.insitu.encounters import Encounter, Encounters
from scopeside_processors.insitu.linking import Detections, Linker, Rules
from scopeside_processors.insitu.presence import Presence
from scopeside_processors.insitu.spots import SIGMA_OF_RADIUS, SpotFinder, Spots
from scopeside_processors.insitu.stabilise import STILL, Drift
from scopeside_processors.insitu.tracks import Tracks

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_CROWD = 100.0
"""Particles in the first frame, for each that is expected to appear in a later one."""
_STRONG = 4.0
"""Height over the noise of spots that tracks are recognised by."""
_NEAR = 3.0
"""Pixels from a spot within which a track is where it was expected."""
_STAYED = 0.5
"""Share of tracks that are there: fewer, and the content may have jumped."""
_JUMP = 3.0
"""Pixels from frame to frame beyond which drift has to agree with the tracks."""
_SURE = 0.5
"""Confidence of the drift from which it is used."""


@dataclass(frozen=True, slots=True)
class Look:
    """What particles look like, and how they may move; see `Track.Params`."""

    shape: tuple[int, int]
    radii: tuple[float, float]
    sign: int
    offset: float
    largest_step: float
    least_snr: float
    births: float
    confirm: float


class Follower:
    """Follows particles.

    Parameters
    ----------
    look : what they look like
    find : whether they are found in the frames; else places are given
    drifts : whether drift is estimated; else a jump is known by the particles alone
    """

    def __init__(self, look: Look, *, find: bool = True, drifts: bool = True) -> None:
        self._look, self._find, self._drifts = look, find, drifts
        self._finder = SpotFinder(
            look.shape, look.radii, look.least_snr, look.sign, look.offset
        )
        births = look.births / math.prod(look.shape)
        self._presence = Presence(
            self._finder.shape, self._finder.bin, look.largest_step,
            _CROWD * births, births,
        )  # fmt: skip
        rules = Rules(
            look.shape,
            look.largest_step,
            look.least_snr if find else None,
            SIGMA_OF_RADIUS * math.sqrt(look.radii[0] * look.radii[1]),
            _CROWD * births,
            births,
            look.confirm,
        )
        self._linker = Linker(rules)
        self._encounters = Encounters()
        self._segment = 0
        self.drift = (0.0, 0.0)

    def follow(
        self, frame: Array, frames: int, drift: Drift, given: Spots | None = None
    ) -> list[int]:
        """Find what there is in a frame, and link it to what was there before.

        Parameters
        ----------
        frame : (height, width) counts
        frames : that passed since the last, 1 if none was left out
        drift : of the frame
        given : what there is in it, where it is not to be found

        Returns
        -------
        list of int
            Ids that end because the content is new and nothing of before recognised.
        """
        anew = self._rebase(drift)
        spots = self._spots_along(frame, given, drift)
        doubt = anew or not drift.locked or not self._drifts
        lost: list[int] = []
        if doubt and not self._recognise(spots) and anew:
            lost = self._linker.tracks.id[self._linker.shown].tolist()
            self._linker.forget()
        self._linker.independent = self._finder.independent
        shift = np.array(self.drift)
        seen = Detections(spots.places - shift, spots.sigma, spots.snr, spots.radius)
        self._linker.step(seen, frames, corner=(-shift[0], -shift[1]))
        if self._find:
            self._look_for_new(frames, shift)
            held = self._linker.tracks.take(self._linker.tracks.odds > 0)
            self._finder.learn(held.bank.mean()[0] + shift, 1.2 * held.radius + 3)
        return lost

    def expose(self, ratio: float) -> None:
        """Expect particles in frames that are `ratio` times brighter than before."""
        self._linker.tracks.snr *= math.sqrt(ratio)

    @property
    def shown(self) -> Tracks:
        """The tracks that are particles, by what is known now, by their ids."""
        tracks = self._linker.tracks.take(self._linker.shown)
        return tracks.take(np.argsort(tracks.id))

    def steps(self, tracks: Tracks) -> FloatArray:
        """Return (n,) px per frame, the random walks of tracks."""
        found: FloatArray = tracks.bank.weight @ self._linker.models.step
        return found

    def encounters(self, index: int) -> list[Encounter]:
        """Return what became clear, with the frame of an `index`, of those that met."""
        tracks = self._linker.tracks
        tracks = tracks.take(tracks.confirmed)
        found = self._encounters.watch(tracks, self.steps(tracks), index)
        for one in found:
            self._linker.end([i for i in one.parents if i not in one.children])
        return found

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "finder": self._finder.state(),
            "presence": self._presence.density,
            "linker": self._linker.state(),
            "encounters": self._encounters.state(),
            "segment": self._segment,
            "drift": list(self.drift),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._finder.take_over(state["finder"])
        self._presence.density = state["presence"].copy()
        self._linker.take_over(state["linker"])
        self._encounters.take_over(state["encounters"])
        self._segment = state["segment"]
        self.drift = tuple(state["drift"])

    def _rebase(self, drift: Drift) -> bool:
        """Take places over to the coordinates of a new segment, if one begins."""
        if drift.segment == self._segment:
            return False
        self._segment = drift.segment
        was, self.drift = self.drift, (drift.dy, drift.dx)
        self._linker.move((was[0] - drift.dy, was[1] - drift.dx))
        self._finder.forget()
        self._presence.forget()
        return True

    def _spots_along(self, frame: Array, given: Spots | None, drift: Drift) -> Spots:
        """Return what there is in a frame, and take over its drift.

        A jump that leads away from where the tracks are is not believed: what seems to
        have jumped may have been a particle.
        """
        proposed = drift.dy, drift.dx
        if not self._drifts or drift.confidence < _SURE:
            return self._spots(frame, given)
        away = math.hypot(drift.dy - self.drift[0], drift.dx - self.drift[1])
        if away > _JUMP and self._linker.shown.any():
            spots = self._spots(frame, given)
            if self._there(spots, self.drift) > self._there(spots, proposed):
                return spots
        self.drift = proposed
        return self._spots(frame, given)

    def _there(self, spots: Spots, drift: tuple[float, float]) -> float:
        """Return the share of the tracks that are where they were expected."""
        tracks = self._linker.tracks.take(self._linker.shown)
        strong = spots.places[spots.snr > _STRONG] - drift
        if not len(tracks) or not len(strong):
            return 0.0
        reach = _NEAR + 2 * np.sqrt(tracks.bank.mean()[2])
        away = cKDTree(strong).query(tracks.bank.mean()[0])[0]
        return float(np.mean(away < reach))

    def _spots(self, frame: Array, given: Spots | None) -> Spots:
        return self._finder.find(frame, self.drift) if given is None else given

    def _look_for_new(self, frames: int, shift: FloatArray) -> None:
        """Begin tracks of particles that show over several frames."""
        finder, linker, presence = self._finder, self._linker, self._presence
        presence.turn(finder.turned)
        presence.step(finder.responses, finder.scale, finder.independent, frames)
        place, _, var = linker.tracks.bank.mean()
        flanks = finder.flanks(linker.tracks.snr, linker.tracks.radius)
        presence.clear(place + shift, flanks + np.sqrt(var))
        births = presence.born()
        if not len(births.places):
            return
        snr, radius = finder.heights(births.places)
        snr = np.maximum(snr, self._look.least_snr)
        linker.begin(births.places - shift, births.sigma, births.odds, snr, radius)
        presence.clear(births.places, finder.flanks(snr, radius))

    def _recognise(self, spots: Spots) -> bool:
        """Return whether the tracks are in a frame, wherever they have jumped to."""
        shown = self._linker.shown
        if not shown.any() or self._there(spots, self.drift) >= _STAYED:
            return True
        place = self._linker.tracks.bank.mean()[0][shown]
        strong = spots.places[spots.snr > _STRONG] - self.drift
        found = recognise(place, strong, float(math.prod(self._look.shape)))
        if found is None:
            return False
        dy, dx = found.shift
        self.drift = self.drift[0] + dy, self.drift[1] + dx
        return True


def warm() -> None:
    """Compile, or load from the cache, all that a follower needs."""
    look = Look((64, 64), (3.0, 6.0), -1, 0.0, 4.0, 2.0, 0.1, 0.9)
    y, x = np.mgrid[:64, :64]
    frame = (100 - 50 * (np.hypot(y - 30, x - 30) < 4)).astype(np.uint16)
    follower = Follower(look)
    follower.follow(frame, 1, STILL)
    follower.follow(frame, 1, STILL)
