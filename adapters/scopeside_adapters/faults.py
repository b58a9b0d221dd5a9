"""What goes wrong between a simulated detector and us, on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Fault = Literal["drop", "duplicate", "reorder", "truncate", "stall", "reset"]
M = TypeVar("M")


class ResetRequested(Exception):  # noqa: N818 - it is asked for
    """The simulator is to break its connection here, without a farewell."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults by the number of the message (from 0: the frame, where each has one).

    ``drop``: it is not sent; ``duplicate``: sent twice; ``reorder``: it changes
    places with the next; ``truncate``: cut short; ``stall``: sent `stall_s` late;
    ``reset``: the connection breaks before it.
    """

    of: Mapping[int, Fault] = field(default_factory=dict)
    stall_s: float = 0.5

    def apply(
        self, messages: Iterable[tuple[int, M]], truncated: Callable[[M], M]
    ) -> Iterator[M]:
        """Yield what a faulty detector sends instead of numbered `messages`.

        Raises
        ------
        ResetRequested
            Where the connection is to be broken.
        """
        late: list[M] = []
        for number, message in messages:
            match self.of.get(number):
                case "reorder":
                    late.append(message)
                    continue
                case "drop":
                    pass
                case "duplicate":
                    yield message
                    yield message
                case "truncate":
                    yield truncated(message)
                case "reset":
                    raise ResetRequested
                case "stall":
                    time.sleep(self.stall_s)
                    yield message
                case None:
                    yield message
            yield from late
            late.clear()
        yield from late
