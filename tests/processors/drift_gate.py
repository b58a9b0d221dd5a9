"""The real guard's core as the gate of a `drift_loop`, armed and with limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.processors.drift_loop import FRAME_NS, START_NS, Setting, Values, at_first

from scopeside.control.effects import Effect, Send, Tell
from scopeside.control.guard import Guard
from scopeside.control.instrument import Readback
from scopeside.control.proposal import Proposal
from scopeside.control.settings import ControlSettings

WIDE = {"min": -4e-6, "max": 4e-6, "excursion": 4e-6, "tolerance": 1e-10}


def settings(step_m: float = 100e-9, **changes: Any) -> ControlSettings:
    """Return settings that let a view offset be set with each frame."""
    field = {**WIDE, "step": step_m}
    limits = {"set_view_offset": {"every_s": 1e-3, "x_m": field, "y_m": field}}
    said = {
        "mode": "armed",
        "adapter": {"kind": "paper"},
        "limits": limits,
        "min_confidence": 0.2,
        "valid_for_ms": 10_000.0,
        "per_s": 1000.0,
    }
    return ControlSettings(**{**said, **changes})


class Guarded:
    """A guard, and what became of the proposals that it got.

    Parameters
    ----------
    arm_in
        Frame in which a person arms it, None for never.

    Attributes
    ----------
    told
        States that were told, counted.
    """

    def __init__(
        self,
        setting: Setting,
        said: ControlSettings | None = None,
        *,
        arm_in: int | None = 0,
    ) -> None:
        self.guard = Guard(said or settings(), frozenset({"set_view_offset"}))
        self.told: Counter[str] = Counter()
        self._sent: dict[str, str] = {}
        arm_ns = None if arm_in is None else START_NS + arm_in * FRAME_NS
        self._arm_ns = arm_ns
        self.turn(at_first(setting), START_NS)

    def _arm(self, now_ns: int) -> None:
        request = {"ask": "arm", "seconds": 3600, "who": "anna", "id": "arm"}
        effects = self.guard.ask(request, "anna", now_ns)
        assert any(isinstance(e, Tell) and e.state == "done" for e in effects), effects

    def propose(self, proposal: Proposal, now_ns: int) -> tuple[str, str]:
        """Return (state, cause)."""
        effects = self.guard.propose(proposal.to_dict(), "adviser", now_ns)
        sends = [one for one in effects if isinstance(one, Send)]
        if sends:
            self._sent[proposal.id] = sends[0].id
        found = self._told(effects)
        return ("sent", "") if sends else found

    def answered(self, proposal: Proposal, values: Values, now_ns: int) -> str:
        """Return the state after the instrument has answered."""
        readback = Readback(now_ns, dict(values))
        sent = self._sent.pop(proposal.id)
        effects = self.guard.answered(sent, True, {}, "", readback, now_ns)
        return self._told(effects)[0]

    def turn(self, values: Values, now_ns: int) -> None:
        """Hear that the engine lives, and read back."""
        effects = self.guard.beat(0, (), now_ns)
        if not self._sent:
            effects += self.guard.read(Readback(now_ns, dict(values)), now_ns)
        self._told(effects + self.guard.tick(now_ns))
        if self._arm_ns is not None and now_ns >= self._arm_ns:
            self._arm(now_ns)
            self._arm_ns = None

    def _told(self, effects: list[Effect]) -> tuple[str, str]:
        tells = [one for one in effects if isinstance(one, Tell)]
        self.told.update(one.cause or one.state for one in tells)
        return (tells[-1].state, tells[-1].cause) if tells else ("", "")
