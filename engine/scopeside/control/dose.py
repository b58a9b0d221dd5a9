"""The guard's account of the dose: what has been spent, and what may be.

No I/O and no clock. What is not known is counted as the most that it may have been;
the budget is compared with that upper bound. `docs/dose_budget.md` says what the
account stands on, and what it cannot know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scopeside.control.dose_beam import Beam, Box, beam, predicted
from scopeside.control.dose_blanking import BlankTime
from scopeside.control.dose_kept import kept_values, restored
from scopeside.control.dose_ledger import Ledger, Span
from scopeside.control.dose_notices import Notices
from scopeside.control.dose_points import PointDoses, point_doses
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.dose_step import (
    BRIGHTENS,
    Held,
    exposes,
    exposure_s,
    under_way,
)
from scopeside.control.instrument import Call, Readback, Value

TICK_S = 0.05
"""Between two times that `must_blank` is asked; the guard asks every 20 ms."""
_NOT_READ = "the instrument has not said yet what it is set to"


class DoseAccount:
    """Counts the dose of the specimen, and says what the budget allows.

    Parameters
    ----------
    settings
        ``[control.dose]``.
    kept
        What `to_dict` gave before the guard ended or died: from then on until the
        first read-back the beam counts as it was.

    Raises
    ------
    ConfigError
        If `kept` cannot be read, or was kept with another map.
    """

    def __init__(
        self, settings: DoseSettings, kept: Mapping[str, Any] | None = None
    ) -> None:
        self._settings = settings
        self._ledger = Ledger(settings)
        self._blank = BlankTime(settings.blank_s)
        self._last: Held | None = None
        self._sent: list[Held] = []
        self._blanked_ns = 0
        self._enforced = self._restored = False
        self._changes = 0
        self._notices = Notices(settings)
        if kept is not None:
            self._take_over(kept)

    # -- what is known -------------------------------------------------------------

    @property
    def lacking(self) -> str:
        """Why the budget cannot be enforced now; "" if it can."""
        if not self._settings.budgeted:
            return ""
        return _NOT_READ if self._last is None else self._last.beam.lacking

    @property
    def enforced(self) -> bool:
        """Whether there is a budget that is enforced; once it is, it stays."""
        return self._enforced

    @property
    def changes(self) -> int:
        """How often what the beam does has changed: then it is to be kept at once."""
        return self._changes

    def read(self, readback: Readback) -> None:
        """Take in what holds from ``readback.t_ns`` on, and count until then."""
        values = dict(readback.values)
        now = self._held(readback.t_ns, values)
        last = self._last
        if last is not None and now.t_ns < last.t_ns:
            if not self._restored:
                return  # it was asked for before the one that is known
            self._notices.say("the clock was set back: the time since is not counted")
        self._restored = False
        if last is not None:
            self._count(last, now)
        self._changes += last is None or now.beam != last.beam
        self._last = now
        self._sent = under_way(self._sent, now, self._settings.cell_m)
        self._blanked_ns = 0
        self._enforced |= self._settings.budgeted and not now.beam.lacking
        self._ledger.settle(now.t_ns)
        self._notices.say(self._blank.read(now.t_ns, on=now.beam.on))
        self._notices.look(now.t_ns, now.beam, self._ledger)

    def measured(self, rate_e_per_A2_s: float, sigma: float, t_ns: int) -> None:  # noqa: N803 - Å
        """Take in the dose rate of frames until `t_ns`, by a counting detector."""
        counted, last = self._ledger.counted, self._last
        finite = math.isfinite(rate_e_per_A2_s) and math.isfinite(sigma)
        if counted is None or not finite or sigma < 0:
            return
        if last is None or last.beam.on or t_ns <= last.t_ns:
            counted.add(max(rate_e_per_A2_s, 0.0), sigma, t_ns)
        self._ledger.settle(t_ns)

    def sent(self, calls: Iterable[Call], now_ns: int) -> None:
        """Take note that calls are about to be sent; the beam may do as they say."""
        if self._last is None:
            return
        values = (self._sent[-1] if self._sent else self._last).values
        for call in calls:
            if call.action == "place_beam":
                self._place_beam(call, values)
            values = predicted(values, call)
            self._sent.append(self._held(now_ns, values))
        self._changes += 1

    def blanked(self, now_ns: int) -> None:
        """Take in that the instrument says that it has blanked; a read-back must."""
        self._blanked_ns = self._blank.answered_ns = now_ns

    # -- what is allowed -----------------------------------------------------------

    def may(self, calls: Iterable[Call], now_ns: int) -> str:
        """Return why the budget does not allow calls, one after another; "" if so.

        What exposes (letting the beam on, another place, a higher rate, a longer
        exposure) must leave enough for `at_least_s` and for blanking afterwards.
        """
        if not self._settings.budgeted:
            return ""
        if self._last is None:
            return _NOT_READ
        before = self._last
        for call in calls:
            after = self._held(now_ns, predicted(before.values, call))
            if why := self._refusal(call, before, after, now_ns):
                return f"{call.action}: {why}"
            before = after
        return ""

    def must_blank(self, now_ns: int) -> str:
        """Return why the beam has to be blanked now; "" if it has not."""
        lit = self._lit()
        why = self._reason(lit, now_ns) if self._enforced and lit else ""
        if why:
            self._blank.wanted(now_ns)
        elif lit:
            self._blank.unwanted()
        return why

    def _reason(self, lit: list[Beam], now_ns: int) -> str:
        for one in lit:
            if one.lacking:
                return f"the dose budget cannot be kept any more: {one.lacking}"
        ahead = self._ledger.rate(lit, now_ns) * self._reserved_s
        for one in lit:
            what, left = self._left(one.box, now_ns)
            if left <= ahead:
                return (
                    f"{what} is spent but for {max(left, 0.0):.3g} e⁻/Å²; blanking may "
                    f"take {ahead:.3g}"
                )
        return ""

    def _refusal(self, call: Call, before: Held, after: Held, now_ns: int) -> str:
        if call.action == "place_beam":
            return self._no_place_beam(call, after, now_ns)
        counted = self._ledger.counted
        if not exposes(call, before, after, counted=counted is not None):
            return ""
        if after.beam.lacking or after.beam.rate is None:
            return after.beam.lacking
        rate = after.beam.rate.upper
        if counted is not None and before.beam.on and call.action not in BRIGHTENS:
            rate = counted.now(now_ns).upper
        seconds = self._reserved_s + self._settings.at_least_s
        seconds += exposure_s(call, after)
        need = rate * seconds
        what, left = self._left(after.beam.box, now_ns)
        if left >= need:
            return ""
        return (
            f"{what} has {max(left, 0.0):.3g} e⁻/Å² left; {seconds:.3g} s at this rate "
            f"take {need:.3g}"
        )

    def _no_place_beam(self, call: Call, after: Held, now_ns: int) -> str:
        if after.beam.lacking or after.beam.rate is None:
            return after.beam.lacking
        found = self._points(call, after.values)
        if isinstance(found, str):
            return found
        rate = after.beam.rate.upper
        seconds = found.seconds + self._reserved_s
        need = rate * seconds
        what, left = self._left(after.beam.box, now_ns)
        if left < need:
            return (
                f"{what} has {max(left, 0.0):.3g} e⁻/Å² left, and it takes {need:.3g}"
            )
        region = self._settings.budget_e_per_A2
        spent = self._ledger.map.window(found.cells) + rate * found.per_rate
        peak = float(spent.max()) + self._pending(now_ns) + need
        if region is not None and peak > region:
            return f"a place would have got {peak:.3g} e⁻/Å², of a budget of {region:g}"
        return ""

    def _points(self, call: Call, values: Mapping[str, Value]) -> PointDoses | str:
        return point_doses(self._settings, values, call.fields, self._ledger.map)

    def _place_beam(self, call: Call, values: Mapping[str, Value]) -> None:
        found = self._points(call, values)
        rate = beam(self._settings, values).rate or self._ledger.highest
        if isinstance(found, str):
            self._notices.once("points", f"place_beam is not counted: {found}")
            return
        dark = self._last is not None and not self._last.beam.on
        self._ledger.add_points(found, rate, dark=dark)

    @property
    def _reserved_s(self) -> float:
        """For so long the beam may be on after it has to be blanked, at the worst."""
        return self._blank.blank_s + TICK_S + self._settings.down_s

    def _held(self, t_ns: int, values: Mapping[str, Value]) -> Held:
        return Held(t_ns, values, beam(self._settings, values))

    # -- what is left --------------------------------------------------------------

    def _lit(self) -> list[Beam]:
        held = [] if self._last is None else [self._last, *self._sent]
        return [one.beam for one in held if one.beam.on]

    def _pending(self, now_ns: int) -> float:
        """Return the upper dose since what has been counted."""
        dose = self._ledger.open_dose(now_ns)
        lit = self._lit()
        if self._last is None or not lit:
            return dose
        seconds = max(0, now_ns - self._last.t_ns) / 1e9
        return dose + self._ledger.rate(lit, now_ns) * seconds

    def _left(self, box: Box | None, now_ns: int) -> tuple[str, float]:
        """Return which budget has less left, and how much, e⁻/Å²."""
        settings, ledger = self._settings, self._ledger
        pending, found = self._pending(now_ns), []
        if (region := settings.budget_e_per_A2) is not None:
            spent = ledger.map.highest[1] if box is None else ledger.map.worst(box)
            name = f"the budget of this region ({region:g} e⁻/Å²)"
            found.append((name, region - spent - pending))
        if (run := settings.run_budget_e_per_A2) is not None:
            name = f"the budget of the run ({run:g} e⁻/Å²)"
            found.append((name, run - ledger.run.upper - pending))
        return min(found, key=lambda one: one[1], default=("", math.inf))

    def _count(self, last: Held, now: Held) -> None:
        between = tuple(one.beam for one in self._sent)
        dark_ns = self._blanked_ns
        if not between and not now.beam.on and last.t_ns <= dark_ns <= now.t_ns:
            now = Held(dark_ns, now.values, now.beam)
        self._ledger.add(Span(last.t_ns, now.t_ns, (last.beam, now.beam), between))

    # -- what people are told ------------------------------------------------------

    def told(self) -> list[str]:
        """Return what the operator has not been told yet, in words."""
        return self._notices.take()

    def status(self, now_ns: int) -> dict[str, Any]:
        """Return plain values for people; doses are [nominal, upper] e⁻/Å²."""
        settings, ledger, last = self._settings, self._ledger, self._last
        now = None if last is None else last.beam
        what, left = self._left(None if now is None else now.box, now_ns)
        return {
            "enforced": self.enforced,
            "lacking": self.lacking,
            "blanked": None if now is None else not now.on,
            "rate_e_per_A2_s": None if now is None or now.rate is None else now.rate[0],
            "run_e_per_A2": list(ledger.run),
            "highest_e_per_A2": list(ledger.map.highest),
            "here_e_per_A2": (
                None if now is None or now.box is None else ledger.map.worst(now.box)
            ),
            "pending_e_per_A2": self._pending(now_ns),
            "left_e_per_A2": left if math.isfinite(left) else None,
            "left_of": what,
            "budget_e_per_A2": settings.budget_e_per_A2,
            "run_budget_e_per_A2": settings.run_budget_e_per_A2,
            "blank_s": self._blank.blank_s,
            "uncalibrated_s": ledger.uncalibrated_s,
            "tiles": ledger.map.tiles,
            "notes": self._notices.last,
        }

    def at(self, y_m: float, x_m: float) -> tuple[float, float]:
        """Return nominal and upper dose at a point of the specimen, e⁻/Å²."""
        return self._ledger.map.at(y_m, x_m)

    # -- what is kept --------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for a file."""
        last = self._last
        return {
            **kept_values(self._settings, self._ledger),
            "t_ns": None if last is None else last.t_ns,
            "values": None if last is None else dict(last.values),
            "sent": [[one.t_ns, dict(one.values)] for one in self._sent],
            "enforced": self._enforced,
            "blank_s": self._blank.blank_s,
        }

    def _take_over(self, kept: Mapping[str, Any]) -> None:
        found = restored(self._settings, self._ledger, kept)
        self._enforced = found.enforced and self._settings.budgeted
        self._blank.blank_s = max(self._blank.blank_s, found.blank_s)
        held = [self._held(*one) for one in found.held]
        self._restored = bool(held)
        if held:
            self._last, *self._sent = held
