"""The interface of a channel: a stream of time-stamped numbers beside the frames.

Temperature, gas flow, bias, stage, dose rate: what was true while a frame was taken.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy.typing as npt
from pydantic import BaseModel


class ChannelSink(Protocol):
    """Where a channel puts its samples; given to `ChannelSource.run`.

    Every call may raise `scopeside.detector.StopRequested` (the engine is asked to
    end); a source lets it pass, closing what it opened.
    """

    @property
    def name(self) -> str:
        """The channel's name in the pipeline file."""

    @property
    def unit(self) -> str:
        """The unit that the pipeline file says its values have."""

    @property
    def stopping(self) -> bool:
        """Whether the engine is asked to end; to be looked at every 50 ms."""

    @property
    def since_ns(self) -> int | None:
        """Time up to which samples are kept from a process that has died.

        A source that can look back, such as a file, goes on after it. As the source
        says times: without ``offset_s``. None: nothing was kept.
        """

    def sample(self, t_ns: int, value: float) -> None:
        """Hand on one sample: ns since 1970 UTC by the device's clock, and value."""

    def samples(self, t_ns: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Hand on many samples, (n,) each; they need not be in order."""

    def reject(self, n: int, cause: str, message: str) -> None:
        """Count what came but is no sample, and say so once for each cause."""

    def note(self, message: str) -> None:
        """Tell the operator something, such as what is being waited for."""


class ChannelSource(Protocol):
    """A source's whole duty.

    `Params` validates the keys of a ``[[channel]]`` table that the engine does not
    know itself (see `scopeside.settings.ChannelSettings`; the names must differ);
    `check` lists what would go wrong without starting anything; `run` delivers
    samples until the sink stops it, in a thread of its own. Raise `SourceError` when
    it cannot go on: the channel is shown as lost, and `run` is called again after a
    pause. Return when there will never be another sample. An optional static method
    ``expects(params)`` says how many samples will come, where that is known: no
    acquisition is closed before they are there.
    """

    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any) -> None: ...

    def check(self) -> list[str]:
        """Return what would go wrong, one sentence each."""

    def run(self, sink: ChannelSink) -> None:
        """Deliver samples to `sink`."""
