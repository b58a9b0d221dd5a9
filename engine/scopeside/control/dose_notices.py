"""What the operator is told of the dose, in words, and once."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from scopeside.control.dose_beam import Beam
from scopeside.control.dose_ledger import Ledger
from scopeside.control.dose_settings import Calibration, DoseSettings

REMEMBERED = 20


class Notices:
    """Collects what has become so: nearly spent, map full, calibration old."""

    def __init__(self, settings: DoseSettings) -> None:
        self._settings = settings
        self._texts: deque[str] = deque(maxlen=REMEMBERED)
        self._new: deque[str] = deque(maxlen=REMEMBERED)
        self._said: set[str] = set()

    @property
    def last(self) -> list[str]:
        """The last five."""
        return list(self._texts)[-5:]

    def take(self) -> list[str]:
        """Return what nobody has been told yet."""
        new = list(self._new)
        self._new.clear()
        return new

    def say(self, text: str) -> None:
        """Tell `text`, unless it is empty."""
        if text:
            self._texts.append(text)
            self._new.append(text)

    def once(self, key: str, text: str) -> None:
        """Tell `text` if nothing was told for `key` yet."""
        if key not in self._said:
            self._said.add(key)
            self.say(text)

    def look(self, t_ns: int, beam: Beam, ledger: Ledger) -> None:
        """Tell what a look at the instrument has brought."""
        self._budgets(beam, ledger)
        if ledger.map.rest > 0:
            text = "the map of the dose is full: what lies beyond counts as one place"
            self.once("full", text)
        if ledger.uncalibrated_s > 0:
            rate = ledger.highest.upper
            text = f"the beam was on uncalibrated; {rate:.3g} e⁻/Å²/s were counted"
            self.once("uncalibrated", text)
        if beam.lacking and self._settings.budgeted:
            text = f"the dose budget cannot be enforced: {beam.lacking}"
            self.once(beam.lacking, text)
        if beam.calibration is not None:
            self._age(t_ns, beam.calibration)

    def _budgets(self, beam: Beam, ledger: Ledger) -> None:
        settings = self._settings
        region, run = settings.budget_e_per_A2, settings.run_budget_e_per_A2
        if region is not None and beam.on and beam.box is not None:
            share = ledger.map.worst(beam.box) / region
            if share >= settings.warn_at:
                text = f"{share:.0%} of the dose budget of this region are spent"
                self.once("region", text)
            else:
                self._said.discard("region")
        if run is not None and (share := ledger.run.upper / run) >= settings.warn_at:
            self.once("run", f"{share:.0%} of the dose budget of the run are spent")

    def _age(self, t_ns: int, calibration: Calibration) -> None:
        today = datetime.fromtimestamp(t_ns / 1e9, UTC).date()
        days = (today - calibration.date).days
        if -1 <= days <= self._settings.max_age_days:
            return
        old = "of the future" if days < 0 else f"{days} days old"
        text = f"the calibration of the dose rate of {calibration.date} is {old}"
        self.once(f"age {calibration.date}", text)
