"""Which device a chain runs on: as the pipeline file says, and as the machine has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from scopeside.device.card import Card
from scopeside.device.cupy_card import CupyCard
from scopeside.errors import DeviceFailedError


class Choice(NamedTuple):
    """The card of a chain, if it has one."""

    card: Card | None
    note: str | None
    """What the operator must be told: a GPU was asked for and there is none."""


def has_twin(cls: type[Any]) -> bool:
    """Return whether a processor can run on a GPU."""
    return "gpu" in getattr(cls, "devices", ("cpu",))


def gpu_problem() -> str | None:
    """Return why there is no GPU to use, None if there may be one; loads nothing."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'scopeside[gpu12]' or [gpu13]"
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine has no NVIDIA GPU"
    return None


def refusal(device: str, classes: Iterable[type[Any]]) -> str | None:
    """Return why a chain with ``device = "gpu"`` will run on the CPU; None: it won't.

    Nothing is loaded: the GPU itself may still refuse.
    """
    if not device.startswith("gpu"):
        return None
    if not any(map(has_twin, classes)):
        return "none of its processors has a GPU version"
    return gpu_problem()


def choose(
    device: str,
    classes: Iterable[type[Any]],
    opened: Callable[[int], Card] = CupyCard,
) -> Choice:
    """Open the card that a chain asks for.

    Parameters
    ----------
    device
        ``cpu``; ``auto``: a GPU if there is one, quietly; ``gpu`` or ``gpu:N``: that
        one, and if it cannot be had the CPU, with a note.
    classes
        The chain's processors; without one that has a GPU twin there is no card.
    """
    classes = tuple(classes)
    if device == "cpu" or (device == "auto" and not any(map(has_twin, classes))):
        return Choice(None, None)
    wanted = device if device.startswith("gpu") else "gpu"
    why = refusal(wanted, classes)
    if why is None:
        try:
            return Choice(opened(int(wanted.partition(":")[2] or 0)), None)
        except DeviceFailedError as error:
            why = str(error)
    if device == "auto":
        return Choice(None, None)
    return Choice(
        None, f"device = {device!r} cannot be had, the CPU does it all: {why}"
    )
