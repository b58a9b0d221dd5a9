"""Where a movie has changed, by evidence that grows from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.defects import Defects
from scopeside_processors.insitu.history import History
from scopeside_processors.insitu.incoming import Condition
from scopeside_processors.insitu.octave import Octave
from scopeside_processors.kernels import residual, sequential
from scopeside_processors.kernels.maxima import maxima

Array = npt.NDArray[Any]

DEPTH = 200.0
"""Frames over which the background forgets."""
FIRST = 8
"""Frames of background before anything is compared with it."""
LEAST = 20.0
"""Frames of background that a cell needs to be scored."""
_NOT_LEARNT = 0.55
"""Where a score is higher the background learns nothing, lest it take in what grows."""
_RADIUS = 1.15
"""Of the smallest filter, in smallest radii that count: what is found still grows."""
_BLOCKS = 16
_HISTORY_BYTES = 1 << 26
_LOOKED_AT = 256
"""Cells each way in which brightness is compared."""
_EDGE = 4
_MOST = 256


class Moved(Protocol):
    """How far content has moved since frame 0, px, and since when that holds."""

    @property
    def dy(self) -> float:
        """Towards larger row."""

    @property
    def dx(self) -> float:
        """Towards larger column."""

    @property
    def segment(self) -> int:
        """Places before and after a change of it are unrelated."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A place that has changed as a nucleus would change it.

    Attributes
    ----------
    y, x
        On the specimen: px of frame 0.
    radius_px
        Of the filter that answered best.
    score
        At least 1; noise alone reaches 1 at the rate of false alarms that was set.
    since
        Number of the frame in which it began, as a first guess.
    """

    y: float
    x: float
    radius_px: float
    score: float
    since: float


def bin_for(min_radius_px: float) -> int:
    """Return the widest cell, px, that loses nothing: the radius is 1.5 cells."""
    return int(min(max(min_radius_px // 1.5, 1), 8))


class Evidence:
    """Compares registered frames with a background, and adds up what they lack.

    Attributes
    ----------
    bin
        Width of a cell, px.
    background, seen
        (rows, columns) float32: electrons in a cell; frames that it stands on. Cell
        (i, j) is cell (i, j) + `origin` of the specimen.
    noise
        Standard deviation of a cell's noise over that of Poisson's.
    history
        The last frames.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        min_radius_px: float,
        max_radius_px: float | None = None,
        false_alarms: float = 1e-4,
        contrast: str = "dark",
        size: int | None = None,
        offset: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        """Start with nothing known.

        Parameters
        ----------
        shape : of a frame, px
        min_radius_px, max_radius_px : of what is looked for; largest: four smallest
        false_alarms : per frame, that noise alone may cause
        contrast : "dark" or "bright": what nuclei are on the background
        size : width of a cell, px; `bin_for` the radius if None
        offset, scale : a pixel is ``(counts - offset) * scale`` electrons
        """
        self.beside: list[Proposal] = []
        """What another has to say of the last frame (`model_stage`)."""
        self.bin = size or bin_for(min_radius_px)
        smallest = _RADIUS * min_radius_px
        largest = max_radius_px or 4 * min_radius_px
        self.radii = [smallest]
        while 2 * self.radii[-1] <= largest and len(self.radii) < 4:
            self.radii.append(2 * self.radii[-1])
        self._step = 2 ** (len(self.radii) - 1)
        cells = [n // self.bin // self._step * self._step for n in shape]
        self._cells = cells[0], cells[1]
        self._sign = 1.0 if contrast == "dark" else -1.0
        self._offset, self._scale = offset, scale
        rate = false_alarms / len(self.radii)
        self.octaves = [
            Octave((cells[0] >> k, cells[1] >> k), smallest / self.bin, rate)
            for k in range(len(self.radii))
        ]
        self._defects = Defects(self._cells)
        depth = int(np.clip(_HISTORY_BYTES // (cells[0] * cells[1]), 16, 64))
        self.history = History(self._cells, self.bin, depth)
        self._make_room()
        self.clear()

    def _make_room(self) -> None:
        shape = self._cells
        self._binned = np.zeros(shape, np.float32)
        self._frame = np.zeros(shape, np.float32)
        self._residuals = [np.zeros(o.score.shape, np.float32) for o in self.octaves]
        self._sums = np.zeros((_BLOCKS, _BLOCKS, 2))
        self._found = np.zeros((_MOST, 3))
        self._gate = np.zeros(shape, np.float32)
        self.background = np.zeros(shape, np.float32)
        self.seen = np.zeros(shape, np.float32)

    def clear(self) -> None:
        """Forget the specimen: what comes is unrelated to what was."""
        self.background[:] = 0
        self.seen[:] = 0
        self._gate[:] = 0
        self.origin = (0, 0)
        self._bounds = 0, 0, 0, 0
        self._segment: int | None = None
        self._number = -1
        self.frames = 0
        for octave in self.octaves:
            octave.clear()
        self.history.clear()

    def allow(self, false_alarms: float) -> None:
        """Let noise alone cause so many alarms per frame from now on."""
        for octave in self.octaves:
            octave.allow(false_alarms / len(self.octaves))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of a cell, over that of Poisson's."""
        return self.octaves[0].noise

    def take(
        self, frame: Array, drift: Moved, condition: Condition, number: int = -1
    ) -> None:
        """Take in a frame (height, width) that can be used.

        Parameters
        ----------
        frame : counts
        drift : of this frame; a new segment begins everything anew
        condition : what `Incoming` says of it
        number : of the frame in the movie; one after the last if it is not given
        """
        if self._segment is not None and drift.segment != self._segment:
            self.clear()
        self._segment = drift.segment
        self._number = number if number >= 0 else self._number + 1
        usual = condition.mean * self._scale
        residual.binned(
            frame, self.bin, self._offset, self._scale, max(usual, 0.0), self._binned
        )
        self._mend(drift)
        self._register(drift)
        self._compare()
        self.frames += 1

    def _mend(self, drift: Moved) -> None:
        """Fill in bad cells; forget what they have left in the background."""
        new = self._defects.take(self._binned)
        if len(self._defects.cells):
            residual.filled(self._binned, self._defects.cells)
        if not len(new):
            return
        if self.frames < _BLOCKS:
            self.seen[:] = 0
        for y, x in new:
            i = round(y - drift.dy / self.bin) - self.origin[0]
            j = round(x - drift.dx / self.bin) - self.origin[1]
            here = np.s_[max(i - 2, 0) : max(i + 3, 0), max(j - 2, 0) : max(j + 3, 0)]
            self.seen[here] = 0

    def _register(self, drift: Moved) -> None:
        away = drift.dy / self.bin, drift.dx / self.bin
        offset = self.origin[0] + away[0], self.origin[1] + away[1]
        limits = [max(8, n // 16) for n in self._cells]
        if any(abs(o) > n for o, n in zip(offset, limits, strict=True)):
            self._follow(away)
            offset = self.origin[0] + away[0], self.origin[1] + away[1]
        self._bounds = residual.registered(self._binned, *offset, self._frame)

    def _follow(self, away: tuple[float, float]) -> None:
        """Move all maps so that the drifted frame lies in the middle of them again."""
        step = self._step
        y, x = (-round(a / step) * step for a in away)
        down, right = self.origin[0] - y, self.origin[1] - x
        self.origin = y, x
        for image in (self.background, self.seen, self._gate):
            _move(image, down, right)
        for k, octave in enumerate(self.octaves):
            for image in (octave.score, *octave.averages):
                _move(image, down >> k, right >> k)

    def _compare(self) -> None:
        usual = self._usual()
        residual.compared(
            self._frame,
            self._light(),
            self._sign,
            DEPTH,
            self._gate,
            _NOT_LEARNT,
            self.background,
            self.seen,
            self._residuals[0],
        )
        residual.extended(self._residuals[0], self._bounds, _EDGE)
        if usual >= FIRST:
            self._score(usual)
        self._remember()

    def _score(self, usual: float) -> None:
        seen = self.seen
        for k, octave in enumerate(self.octaves):
            if k:
                sequential.halved(self._residuals[k - 1], self._residuals[k])
                seen = np.ascontiguousarray(seen[::2, ::2])
            octave.take(self._residuals[k], seen, usual, LEAST)
            top, bottom, left, stop = (n >> k for n in self._bounds)
            octave.cut(top, bottom, left, stop)
        self._gate[:] = self.octaves[0].score
        for k, octave in enumerate(self.octaves[1:], 1):
            sequential.joined(octave.score, 1 << k, self._gate)

    def _remember(self) -> None:
        known = self.seen[::7, ::7] > 0
        mean = float(self.background[::7, ::7][known].mean()) if known.any() else 1.0
        noise = max(self.noise, 0.1) * np.sqrt(max(mean / self.light, 0.05))
        self._frame /= np.float32(self.light)
        self.history.add(
            self._frame,
            self._number,
            self.origin,
            mean=mean,
            noise=float(noise),
            sign=self._sign,
        )

    def _usual(self) -> float:
        return float(np.median(self.seen[::7, ::7]))

    def _light(self) -> float:
        """Return how bright this frame is against the background; 1 at first."""
        step = max(1, min(self._cells) // _LOOKED_AT)
        residual.block_sums(self._frame, self.background, self.seen, step, self._sums)
        here, before = self._sums[..., 0], self._sums[..., 1]
        known = before > 0
        self.light = 1.0
        if known.any():
            self.light = max(float(np.median(here[known] / before[known])), 1e-3)
        return self.light

    def proposals(self) -> list[Proposal]:
        """Return where the evidence is enough for an alarm, the strongest first.

        With what was put `beside` it.
        """
        found = list(self.beside)
        for k, octave in enumerate(self.octaves):
            margin = max(2, round(2 * self.radii[0] / self.bin))
            apart = 2.0 * self.radii[0] / self.bin
            n = maxima(octave.score, margin, apart, 1.0, self._found)
            found += [self._proposal(k, *row) for row in self._found[:n].tolist()]
        found.sort(key=lambda p: -p.score)
        kept: list[Proposal] = []
        for p in found:
            if all(
                np.hypot(p.y - q.y, p.x - q.x) > 1.5 * max(p.radius_px, q.radius_px)
                for q in kept
            ):
                kept.append(p)
        return kept

    def _proposal(self, k: int, row: float, column: float, score: float) -> Proposal:
        size = self.bin << k
        y = (row + 0.5) * size - 0.5 + self.origin[0] * self.bin
        x = (column + 0.5) * size - 0.5 + self.origin[1] * self.bin
        age = self.octaves[k].age(round(row), round(column))
        return Proposal(y, x, self.radii[k], score, self._number - age)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "background": self.background,
            "seen": self.seen,
            "gate": self._gate,
            "origin": list(self.origin),
            "segment": self._segment,
            "number": self._number,
            "frames": self.frames,
            "octaves": [octave.state() for octave in self.octaves],
            "defects": self._defects.state(),
            "history": self.history.state(),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.background[:] = state["background"]
        self.seen[:] = state["seen"]
        self._gate[:] = state["gate"]
        self.origin = state["origin"][0], state["origin"][1]
        self._segment, self._number = state["segment"], state["number"]
        self.frames = state["frames"]
        for octave, known in zip(self.octaves, state["octaves"], strict=True):
            octave.take_over(known)
        self._defects.take_over(state["defects"])
        self.history.take_over(state["history"])


def _move(image: Array, down: int, right: int) -> None:
    """Move the contents of `image`, in place; what comes in holds 0."""
    height, width = image.shape
    kept = np.zeros_like(image)
    if abs(down) < height and abs(right) < width:
        to = np.s_[max(down, 0) : height + min(down, 0)]
        at = np.s_[max(right, 0) : width + min(right, 0)]
        since = np.s_[max(-down, 0) : height + min(-down, 0)]
        begun = np.s_[max(-right, 0) : width + min(-right, 0)]
        kept[to, at] = image[since, begun]
    image[:] = kept
