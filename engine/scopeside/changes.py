"""Changes of parameters in a running engine, and which of them hold for a batch.

The tee gives changes running numbers, and every batch the number of the last change
before it. So each batch has its parameters for good: whoever works on it, when, and
how often, finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from scopeside.pipeline import Chain, Step
from scopeside.result import Result


@dataclass(frozen=True, slots=True)
class Change:
    """New parameters of one processor, from a frame on.

    Attributes
    ----------
    version
        Of the processor's parameters; those of the pipeline file are version 1.
    values
        All its parameters, as they would stand in the pipeline file.
    number
        Counted by one adapter process, over all processors; 0 before it has a place.
    acquisition, frame
        In which acquisition it took effect, and the first frame of the first batch
        with it. An empty id: between two of them, so from the first frame on.
    """

    chain: str
    step: str
    version: int
    values: Mapping[str, Any]
    number: int = 0
    acquisition: str = ""
    frame: int = 0

    @property
    def name(self) -> str:
        """What it changes, such as ``stem.virtual``."""
        return f"{self.chain}.{self.step}"

    def frame_in(self, acquisition: str) -> int:
        """Return the frame of an acquisition from which on it holds."""
        return self.frame if self.acquisition == acquisition else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for messages."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave."""
        return cls(**values)


Held = Mapping[str, Change]
"""The change that holds for each step of a chain that was changed, by name."""


def held_to_dict(held: Held) -> dict[str, Any]:
    """Return plain values for messages."""
    return {name: change.to_dict() for name, change in held.items()}


def held_from_dict(values: Mapping[str, Any]) -> dict[str, Change]:
    """Return what `held_to_dict` gave."""
    return {name: Change.from_dict(change) for name, change in values.items()}


def held_in(chain: str, changes: Iterable[Change]) -> dict[str, Change]:
    """Return which of `changes`, in order of time, hold in a chain after them all."""
    return {change.step: change for change in changes if change.chain == chain}


def version_of(held: Held, step: str) -> int:
    """Return the version of a step's parameters."""
    return held[step].version if step in held else 1


def step_with(chain: Chain, name: str, held: Held) -> Step:
    """Return a step of a chain with the parameters that hold."""
    step = next(step for step in chain.steps if step.name == name)
    return step.changed(held[name].values) if name in held else step


def stamped(result: Result, held: Held, step: str, acquisition: str) -> Result:
    """Return a result whose meta says version and first frame of its parameters."""
    since = held[step].frame_in(acquisition) if step in held else 0
    said = {"params": version_of(held, step), "params_from": since}
    return replace(result, meta={**result.meta, **said})


class History:
    """The changes of one chain, as far as a batch may still need them."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    def add(self, change: Change, oldest: int) -> None:
        """Put in the latest change.

        `oldest`: the lowest number of a batch that is under way. What was replaced
        before it is needed by nobody.
        """
        needed = self.at(oldest)
        self._changes = [
            one
            for one in self._changes
            if one.number > oldest or needed[one.step] is one
        ]
        self._changes.append(change)

    def at(self, number: int) -> dict[str, Change]:
        """Return what holds for a batch of that number."""
        return {one.step: one for one in self._changes if one.number <= number}

    def clear(self) -> None:
        """Forget them all."""
        self._changes.clear()
