"""What a fuzz target is, and what every one of them is held to."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from random import Random

from hypothesis import strategies as st
from tests.fuzz.mutate import mutate, mutate_parts


class TooMuchMemoryError(AssertionError):
    """A parser made more room than its input may make it."""


@dataclass(frozen=True)
class Target:
    """A parser, and what it may do.

    Attributes
    ----------
    name
        As it is asked for on the command line.
    run
        Parses; what it raises beside `refuses` is a finding.
    make
        Gives valid examples.
    refuses
        The errors that the parser says it raises.
    times, base
        It may take so many bytes for each byte of input, and so many beside.
    parts
        An example is a message of several parts, see `mutate.join`.
    loads
        Called once before memory is measured: imports and compiles.
    """

    name: str
    run: Callable[[bytes], object]
    make: Callable[[], Sequence[bytes]]
    refuses: tuple[type[Exception], ...]
    times: int = 100
    base: int = 4 << 20
    parts: bool = False

    @cached_property
    def corpus(self) -> list[bytes]:
        """The valid examples; the parser has taken each, so that it is loaded."""
        found = list(self.make())
        for one in found:
            with suppress(*self.refuses):
                self.run(one)
        return found

    def changed(self, dice: Random) -> bytes:
        """Return an example with something wrong with it."""
        change = mutate_parts if self.parts else mutate
        return change(dice.choice(self.corpus), dice, self.corpus)

    def check(self, data: bytes) -> None:
        """Parse `data`; raises what the parser must not do."""
        limit = self.times * len(data) + self.base
        with _at_most(limit, self.name), suppress(*self.refuses):
            self.run(data)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return a strategy for what a parser may meet."""
    dice = st.randoms(use_true_random=False)
    return st.one_of(st.binary(max_size=300), dice.map(target.changed))


@contextmanager
def _at_most(limit: int, name: str) -> Iterator[None]:
    """Measure what Python and numpy take; a warning is an error."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > limit:
        raise TooMuchMemoryError(f"{name} took {peak} bytes; {limit} are allowed")
