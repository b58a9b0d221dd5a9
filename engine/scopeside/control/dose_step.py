"""What the instrument is set to, and whether a call from there exposes more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scopeside.control.dose_beam import Beam
from scopeside.control.instrument import Call, Value

SENT_S = 5.0
"""So long a command that no read-back shows is taken to be still under way."""
# Calls after which the electrons that were counted before say nothing of the rate.
BRIGHTENS = frozenset({"set_dose_rate", "set_magnification", "set_fov", "set_scan"})
_RATE = "dose_rate_e_per_A2_s"


@dataclass(frozen=True, slots=True)
class Held:
    """What the instrument was set to at a time, or may be since."""

    t_ns: int
    values: Mapping[str, Value]
    beam: Beam


def exposes(call: Call, before: Held, after: Held, *, counted: bool) -> bool:
    """Whether a call may bring more to any place than without it.

    Parameters
    ----------
    counted : rates are those that a detector counts, and cannot be foreseen
    """
    if not after.beam.on:
        return False
    match call.action:
        case "blank" | "acquire":  # what lets the beam on may come after a blank
            return True
        case "set_exposure":
            old, new = (_number(one, "exposure_s") for one in (before, after))
            return old is None or new is None or new > old
    if counted and call.action in BRIGHTENS:
        old, new = (_number(one, _RATE) for one in (before, after))
        if call.action != "set_dose_rate" or old is None or new is None or new > old:
            return True
    return not _no_more(before.beam, after.beam)


def exposure_s(call: Call, after: Held) -> float:
    """Return how long an exposure lasts that a call begins or sets, s."""
    if call.action not in ("set_exposure", "acquire"):
        return 0.0
    exposure = _number(after, "exposure_s") or 0.0
    return max(0.0, exposure) * float(call.fields.get("frames", 1))


def under_way(sent: list[Held], now: Held, cell_m: float) -> list[Held]:
    """Return what was sent and may still be about to happen.

    A read-back that shows what the last call asked for, to a cell, ends all of them.
    """
    waits = [one for one in sent if now.t_ns - one.t_ns < SENT_S * 1e9]
    if not waits or now.t_ns <= waits[-1].t_ns:
        return waits
    return [] if _alike(waits[-1].beam, now.beam, cell_m) else waits


def _no_more(before: Beam, after: Beam) -> bool:
    """Whether a place that was lit gets no more than before."""
    if not before.on or before.box != after.box or after.rate is None:
        return False
    return before.rate is not None and after.rate.upper <= before.rate.upper


def _alike(a: Beam, b: Beam, cell_m: float) -> bool:
    """Whether two beams are the same but for rounding."""
    if a.on != b.on or (a.box is None) != (b.box is None):
        return False
    if a.box is not None and b.box is not None:
        pairs = zip(a.box, b.box, strict=True)
        if any(abs(p - q) > cell_m for p, q in pairs):
            return False
    if a.rate is None or b.rate is None:
        return a.rate is b.rate
    return math.isclose(a.rate.upper, b.rate.upper, rel_tol=1e-3)


def _number(held: Held, name: str) -> float | None:
    value = held.values.get(name)
    return None if isinstance(value, bool | str) or value is None else float(value)
