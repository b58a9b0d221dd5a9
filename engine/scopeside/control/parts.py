"""The parts of the guard's process, made as the pipeline file says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from scopeside.child import Spec
from scopeside.control import setup
from scopeside.control.blanker import Blanker
from scopeside.control.book import Book
from scopeside.control.case import Dose
from scopeside.control.clock import Clock, FramesClock, WallClock
from scopeside.control.connection import Connection
from scopeside.control.news import Post
from scopeside.control.settings import ControlSettings
from scopeside.errors import AuditError, ConfigError
from scopeside.plugins import look_in

if TYPE_CHECKING:
    from scopeside.control.door import Door

_NOT_OURS = ("rule", "policy")
_MEASURED = ("rate_e_per_A2_s", "sigma", "t_ns")


class Account(Dose, Protocol):
    """The dose account, as it is kept."""

    @property
    def changes(self) -> int:
        """How often what the beam does has changed."""

    def told(self) -> list[str]:
        """Return what the operator has not been told yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return what the next guard needs to go on."""


def control_of(spec: Spec) -> setup.Control:
    """Return what ``[control]`` says, without loading rules and policies.

    They are other people's code, and none of the guard's business.
    """
    folder = Path(spec.pipeline_folder)
    look_in(folder)
    table = spec.pipeline["control"]
    ours = {key: value for key, value in table.items() if key not in _NOT_OURS}
    return setup.load(ours, folder)


def clock_of(settings: ControlSettings) -> Clock:
    """Return the clock that ages are measured by."""
    return FramesClock() if settings.clock == "frames" else WallClock()


ENDED_S = 1.0
"""An instrument that ends with the engine is tried for so long."""


def blanker_of(control: setup.Control, posts: Sequence[Post]) -> Blanker:
    """Return who blanks, with a connection of its own."""
    instrument = control.instrument()
    if instrument is None:
        return Blanker(None, posts)
    connection = Connection(instrument)
    if "blank" not in connection.actions:
        return Blanker(None, posts, "this instrument cannot blank")
    # Of a beam that ends with the engine there is nothing left to blank.
    give_up_s = ENDED_S if getattr(instrument, "ends_with_engine", False) else None
    return Blanker(connection, posts, give_up_s=give_up_s)


def account_of(settings: ControlSettings, book: Book) -> tuple[Account | None, str]:
    """Return the dose account, gone on with from what was kept.

    Returns
    -------
    account
        None if none is kept.
    damaged
        Why what was kept is not known; usually empty.
    """
    if settings.dose is None:
        return None, ""
    from scopeside.control.dose import DoseAccount  # noqa: PLC0415 - only here

    try:
        return DoseAccount(settings.dose, book.kept()), ""
    except AuditError as error:
        return DoseAccount(settings.dose), str(error)
    except ConfigError as error:  # it was kept with other settings
        return DoseAccount(settings.dose), str(book.put_aside(str(error)))


def door_of(settings: ControlSettings) -> tuple[Door | None, str]:
    """Return where other programs may ask, and why it stays shut; usually empty.

    A port that is taken is no reason to be without a guard.
    """
    if settings.door is None:
        return None, ""
    from scopeside.control.door import Door  # noqa: PLC0415 - keys, only where asked

    try:
        return Door(settings.door), ""
    except ConfigError as error:
        return None, f"the door stays shut: {error}"


def frame_time(proposal: Any) -> int:
    """Return the frame's time stamp in what may be a proposal, 0 if there is none."""
    evidence = proposal.get("evidence") if isinstance(proposal, Mapping) else None
    t_ns = evidence.get("t_frame_ns") if isinstance(evidence, Mapping) else None
    return t_ns if _is_time(t_ns) else 0


def dose_rate(header: Mapping[str, Any]) -> tuple[float, float, int] | None:
    """Return rate and uncertainty, e⁻/Å²/s, and time, ns; None if it is not that."""
    rate, sigma, t_ns = (header.get(key) for key in _MEASURED)
    if _is_amount(rate) and _is_amount(sigma) and _is_time(t_ns):
        return rate, sigma, t_ns
    return None


def _is_time(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 1 << 63


def _is_amount(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
