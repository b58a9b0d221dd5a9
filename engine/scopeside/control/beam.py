"""Blanks the beam when a person, a rule, the dose budget or silence asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from scopeside.control.effects import Blank, Effect, Say
from scopeside.control.evidence import MS
from scopeside.control.instrument import Readback
from scopeside.control.known import Known, Ruled, event, told

TOLD_NS = 1000 * MS
"""So long after a blank the read-backs may take to say that the beam is blanked."""


class Beam:
    """Has the beam blanked until it is done and read back."""

    def __init__(self, known: Known) -> None:
        self._known = known

    @property
    def unable(self) -> str:
        """Why the beam cannot be blanked; empty if it can."""
        rules = self._known.rules
        if not rules.connected:
            return "there is no instrument"
        return "" if "blank" in rules.actions else "the instrument cannot blank"

    def blank(
        self, reason: str, now_ns: int, tells: Iterable[tuple[str, str]] = ()
    ) -> list[Effect]:
        """Blank the beam; nothing new is asked for while that is under way."""
        if self.unable:
            ruled = Ruled("failed", "not_offered", self.unable)
            return [Say(f"THE BEAM IS NOT BLANKED: {self.unable}"), *told(tells, ruled)]
        blanking = self._known.blanking
        blanking.tells += tells
        return [Blank(reason)] if blanking.want(reason, now_ns) else []

    def blanked(self, ok: bool, reason: str, now_ns: int) -> list[Effect]:
        """Take in how a blank ended; one that nobody here asked for counts too."""
        known, blanking = self._known, self._known.blanking
        why = blanking.wanted or "it was asked for elsewhere"
        foreign = not blanking.wanted
        blanking.answered(ok, reason, now_ns)
        tells, blanking.tells = blanking.tells, []
        ids = [key for _, key in tells if key]
        out: list[Effect]
        known.changed_ns = now_ns
        if ok:
            ruled = Ruled("done")
            known.readings.put("blanked", True)
            if known.rules.dose is not None:
                known.rules.dose.blanked(now_ns)
            out = [event("blanked", why, ids=ids), Say(f"the beam is blanked: {why}")]
            if foreign:
                out += known.park("blanked", why, now_ns)
        else:
            ruled = Ruled("failed", "instrument", blanking.failed)
            text = f"THE BEAM IS NOT BLANKED ({why}): {blanking.failed}"
            record = event("blank_failed", blanking.failed, ids=ids)
            out = [record, Say(f"{text}; it is tried again")]
            out += known.park("instrument", text, now_ns)
        for key in ids:
            known.note(key, "blank", ruled, now_ns)
        return [*out, *told(tells, ruled)]

    def seen(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Hold the first read-back after a blank against it."""
        blanking = self._known.blanking
        if not blanking.unseen or readback.t_ns <= blanking.done_ns:
            return []
        blanking.unseen = False
        if readback.values.get("blanked") is not False:
            return []
        return self.blanked(False, "it is read back as not blanked", now_ns)

    def again(self, now_ns: int) -> list[Effect]:
        """Try again to blank, when it is time."""
        blanking = self._known.blanking
        out: list[Effect] = []
        if blanking.overdue(now_ns):
            out += self.blanked(False, "the instrument does not answer", now_ns)
        return out + (self.at_once(now_ns) if blanking.due(now_ns) else [])

    def at_once(self, now_ns: int) -> list[Effect]:
        """Try again now, if the last try has failed."""
        blanking = self._known.blanking
        if not blanking.wanted or blanking.asked_ns:
            return []
        blanking.again(now_ns)
        return [Blank(blanking.wanted)]

    def must_be_off(self, now_ns: int) -> str:
        """Return why the dose budget forbids the beam; "" if it does not."""
        dose = self._known.rules.dose
        if dose is None or not self._known.guards_dose:
            return ""
        return dose.must_blank(now_ns)

    def keep_budget(self, now_ns: int) -> list[Effect]:
        """Blank and park when the dose account says so."""
        known = self._known
        if known.blanking.wanted or self._is_off(now_ns):
            return []
        why = self.must_be_off(now_ns)
        if not why:
            return []
        out = self.blank(why, now_ns)
        if out or not known.standing.parked:
            out.append(event("budget", why))
        return out + known.park("budget", why, now_ns)

    def _is_off(self, now_ns: int) -> bool:
        """Whether the beam is blanked, or was just now and nobody has looked yet."""
        done_ns, last = self._known.blanking.done_ns, self._known.readings.last
        if self._known.flight is not None:
            return False  # it may let the beam on
        if last is not None and last.t_ns > done_ns:
            return last.values.get("blanked") is True
        return bool(done_ns) and now_ns - done_ns <= TOLD_NS
