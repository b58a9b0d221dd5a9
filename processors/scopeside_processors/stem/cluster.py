"""Which regions of a scan differ: patterns sorted into classes while they come.

Patterns are binned, put in terms of a few components that are learnt from the first of
them and bettered on the way, and sorted into classes. What has been seen is sorted
anew whenever something was learnt; a class keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import project as kernels
from scopeside_processors.mixture import Spread
from scopeside_processors.stem.components import Method
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.learner import Learner, Plan
from scopeside_processors.stem.values import FrameValues

FloatArray = npt.NDArray[np.float64]
Quantity = Literal["labels", "classes", "probability", "loadings", "components"]

SIDE = 32
"""Without a number, binning leaves about so many pixels along the longer side."""
REASONS = ("no counts", "not a number")
_NO_COUNTS, _NOT_A_NUMBER = 1, 2


class Cluster:
    """Sorts the patterns of a scan into classes."""

    order: ClassVar[Order] = Order.KEYED

    class Params(params.Params):
        """How patterns are made comparable, and how many classes there are."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = ("labels", "classes")
        """Any of labels, classes, probability, loadings and components."""
        method: Method = "pca"
        """pca, or nmf: components without negative counts; slower."""
        components: Annotated[int, Field(ge=1, le=64)] = 8
        """Number of components."""
        classes: Annotated[int, Field(ge=1, le=64)] | Literal["bic"] = "bic"
        """Number of classes; bic: as many as the Bayesian information criterion says,
        at most max_classes."""
        max_classes: Annotated[int, Field(ge=1, le=64)] = 6
        """The most classes that bic may choose."""
        spread: Spread = "full"
        """full: each class is a Gaussian of its own; equal: all are balls of one size,
        as k-means has it."""
        binning: Annotated[int, Field(ge=1)] | None = None
        """Pixels in each direction that become one; none: about 32 remain."""
        normalise: bool = True
        """Whether frames are scaled to one total, so that thickness and dose do not
        count."""
        first: Annotated[int, Field(ge=8, le=4096)] = 256
        """Frames from which the components are learnt before anything is shown."""
        seed: Annotated[int, Field(ge=0)] = 0
        """Of the random starts."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin
    ) -> None:
        self._acquisition = acquisition
        self._params = params
        self._binning = params.binning or max(1, max(acquisition.frame_shape) // SIDE)
        self._binned = kernels.binned_shape(acquisition.frame_shape, self._binning)
        if min(self._binned) < 1:
            raise ConfigError(
                f"binning = {self._binning} leaves nothing of frames "
                f"{acquisition.frame_shape}"
            )
        self._learner = Learner(self._plan())
        self._pending = _Pending(self._binned[0] * self._binned[1])
        self._total = 0.0
        """What frames are scaled to, counts; 0 until it is known."""
        self._seen = self._values()

    def process(self, batch: Batch) -> None:
        """Sort the frames of `batch`, or keep them until enough are there.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        patterns = kernels.bin_frames(batch.pixels, self._binning)
        total = patterns.sum(axis=1)
        flag = np.where(total > 0, 0, _NO_COUNTS).astype(np.uint8)
        flag[~np.isfinite(total)] = _NOT_A_NUMBER
        self._skip(batch.index[flag > 0], flag[flag > 0])
        good = np.flatnonzero(flag == 0)
        index, patterns = batch.index[good], patterns[good]
        if self._learner.components is None:
            room = self._params.first - len(self._pending)
            self._pending.add(index[:room], patterns[:room])
            index, patterns = index[room:], patterns[room:]
            if len(self._pending) == self._params.first:
                self._begin()
        if len(index):
            self._take(index, patterns)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen, and what it has learnt."""
        self._seen.merge(other._seen)
        self._learner, self._pending = other._learner, other._pending
        self._total = other._total

    def results(self) -> Iterator[Result]:
        """Yield what is wanted.

        ``labels`` (rows, columns) int64: the class, -1 where there is none;
        ``classes`` (classes, height, width) float64: the mean pattern of each class
        that is there, binned, in counts of a frame, made of the components;
        ``meta["names"]`` says which, ``meta["frames"]`` how many are in it.
        ``probability`` (rows, columns): of that class; ``loadings`` (rows, columns,
        components); ``components`` (components, height, width). Without a scan series.
        Before ``first`` frames are there, components learnt from those that are.
        """
        if self._learner.components is None and len(self._pending) >= _FEWEST:
            # A copy learns from the few frames there are: asking changes nothing.
            copy = type(self)(self._acquisition, self._params)
            copy.restore(self.snapshot())
            yield from copy.early_results()
        elif self._learner.components is None:
            reason = f"fewer than {_FEWEST} frames with counts yet"
            for name in self._params.of:
                yield invalid(name, reason, **self._seen.account())
        else:
            yield from self._known_results()

    def early_results(self) -> Iterator[Result]:
        """Learn from the frames that wait, and yield what is wanted."""
        self._begin()
        yield from self._known_results()

    def snapshot(self) -> bytes:
        """Return the positions seen, and what was learnt."""
        return pack({"values": self._seen.snapshot(), "context": self._context()})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found["values"])
        self._go_on(found["context"])

    def context(self) -> bytes:
        """Return what was learnt, and the frames that wait for it."""
        return pack(self._context())

    def resume(self, context: bytes) -> None:
        """Go on with what was learnt."""
        self._go_on(unpack(context))

    # -- learning ---------------------------------------------------------------

    def _plan(self) -> Plan:
        of = self._params
        numbers = range(1, of.max_classes + 1) if of.classes == "bic" else of.classes
        return Plan(of.method, of.components, numbers, of.spread, of.first, of.seed)

    def _values(self) -> FrameValues:
        forms = {
            "loads": (self._params.components, np.float64),
            "version": (1, np.int64),
        }
        return FrameValues(self._acquisition, forms, REASONS)

    def _skip(self, index: npt.NDArray[np.int64], flag: npt.NDArray[np.uint8]) -> None:
        if len(index):
            loads = np.zeros((len(index), self._params.components))
            version = np.zeros((len(index), 1), np.int64)
            self._seen.add(index, flag=flag, loads=loads, version=version)

    def _begin(self) -> None:
        """Learn from the frames that wait, and sort them."""
        index, patterns = self._pending.taken()
        self._total = float(patterns.sum(axis=1).mean())
        self._learner.begin(self._scaled(patterns))
        self._take(index, patterns)

    def _take(self, index: npt.NDArray[np.int64], patterns: FloatArray) -> None:
        at = 0
        for loads, version in self._learner.take(self._scaled(patterns)):
            rows = np.zeros((len(loads), self._params.components))
            rows[:, : loads.shape[1]] = loads
            which = np.full((len(loads), 1), version, np.int64)
            self._seen.add(index[at : at + len(loads)], loads=rows, version=which)
            at += len(loads)

    def _scaled(self, patterns: FloatArray) -> FloatArray:
        if not self._params.normalise:
            return patterns
        scaled: FloatArray = patterns * (self._total / patterns.sum(axis=1))[:, None]
        return scaled

    # -- results ----------------------------------------------------------------

    def _known_results(self) -> Iterator[Result]:
        loads, good = self._loadings()
        names = np.full(good.shape, -1, np.int64)
        chance = np.full(good.shape, np.nan)
        names[good], chance[good] = self._learner.classify(loads[good])
        for name in self._params.of:
            if name == "labels":
                yield self._seen.result(name, names, "")
            elif name == "probability":
                yield self._seen.result(name, chance, "")
            elif name == "loadings":
                yield self._seen.result(name, loads, "", ("component",))
            elif name == "classes":
                yield self._classes(names[good], loads[good])
            else:
                assert self._learner.components is not None
                yield self._images(name, self._learner.components.shown, {})

    def _loadings(self) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Return the loadings (…shape, k) as of now, and where there are any."""
        mask, flagged = self._seen.mask, self._seen.flagged
        good = np.ones(self._seen.shape, np.bool_) if mask is None else mask.copy()
        if flagged is not None:
            good &= ~flagged
        found = np.moveaxis(self._seen.images("loads"), 0, -1)
        version = self._seen.images("version")[0]
        components = self._learner.components
        assert components is not None
        out = np.full((*good.shape, len(components.shown)), np.nan)
        out[good] = self._learner.now(found[good], version[good])
        return out, good

    def _classes(self, names: npt.NDArray[np.int64], loads: FloatArray) -> Result:
        components = self._learner.components
        assert components is not None
        there, frames = np.unique(names, return_counts=True)
        means = np.array([loads[names == name].mean(axis=0) for name in there])
        about = {"names": there.tolist(), "frames": frames.tolist()}
        return self._images("classes", components.patterns(means), about)

    def _images(self, name: str, rows: FloatArray, about: dict[str, Any]) -> Result:
        account = self._seen.account()
        meta = {**account.pop("meta"), **about, "binning": self._binning}
        return Result(
            name,
            rows.reshape(-1, *self._binned).copy(),
            units="counts" if name == "classes" else "",
            axes=("class" if name == "classes" else "component", "y", "x"),
            meta=meta,
            **account,
        )

    # -- state ------------------------------------------------------------------

    def _context(self) -> dict[str, Any]:
        return {
            "learner": self._learner.to_values(),
            "pending": self._pending.to_values(),
            "total": self._total,
        }

    def _go_on(self, found: dict[str, Any]) -> None:
        self._learner.from_values(found["learner"])
        self._pending.from_values(found["pending"])
        self._total = found["total"]


_FEWEST = 8
"""Frames from which something may be learnt before the first are complete."""


class _Pending:
    """Binned frames that wait until there is something to compare them with."""

    def __init__(self, pixels: int) -> None:
        self._index = [np.empty(0, np.int64)]
        self._patterns = [np.empty((0, pixels))]

    def __len__(self) -> int:
        return sum(map(len, self._index))

    def add(self, index: npt.NDArray[np.int64], patterns: FloatArray) -> None:
        if len(index):
            self._index.append(index)
            self._patterns.append(patterns)

    def taken(self) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return them all, and keep none."""
        found = np.concatenate(self._index), np.concatenate(self._patterns)
        self.__init__(found[1].shape[1])  # type: ignore[misc]  # it begins anew
        return found

    def to_values(self) -> list[Any]:
        return [np.concatenate(self._index), np.concatenate(self._patterns)]

    def from_values(self, values: list[Any]) -> None:
        self._index, self._patterns = [values[0]], [values[1]]
