"""The GPU's side of a processor's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from scopeside.device.lanes import CardFrames

Finish = Callable[[], None]


@runtime_checkable
class OnCard(Protocol):
    """A processor with a GPU twin; its class also says ``devices = ("cpu", "gpu")``.

    It is made with ``device = "gpu"``. `process` still takes in frames on the CPU: a
    batch goes either way, and the results are the same. It replaces no frames.
    """

    def takes_card(self) -> bool:
        """Return whether it has kernels for this acquisition and these parameters."""

    def launch(self, frames: CardFrames) -> Finish:
        """Give the card its work on the frames, and wait for nothing.

        Returns
        -------
        Finish
            Takes in what the card has found; called once, when the lanes have settled.

        Raises
        ------
        DeviceFailedError
            If the card cannot do it: the frames will come again through `process`, on
            a new object.
        """
