"""A simulated microscope and the guard's dose account on one virtual clock.

What `tests/engine` and `bench/control_dose.py` share: commands reach the microscope as
the guard would send them, after `DoseAccount.may`, and each is followed by a read-back;
the beam is blanked when the account says so, as slowly as is asked for.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scopeside.control.dose import DoseAccount
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.instrument import Call, Readback
from scopeside_adapters.simulator.microscope import Microscope
from scopeside_adapters.simulator.state import State

BEGIN_NS = 1_795_000_000_000_000_000
TODAY = datetime.datetime.fromtimestamp(BEGIN_NS / 1e9, datetime.UTC).date()
MOVES = {"view_offset": 1, "beam_shift": 1, "image_shift": -1, "stage": -1}
SAID = {
    "quantity": "dose_rate_e_per_A2_s",
    "scale": 1.0,
    "uncertainty": 0.05,
    "date": TODAY,
}


def settings(**others: Any) -> DoseSettings:
    usual: dict[str, Any] = {
        "calibration": [SAID],
        "moves": MOVES,
        "field_aspect": 1.0,
        "margin_m": 0.0,
        "cell_m": 10e-9,
        "blank_s": 0.1,
    }
    return DoseSettings.model_validate({**usual, **others})


@dataclass
class Hour:
    """The two of them, with a clock that goes when it is told to.

    Attributes
    ----------
    blank_takes_s
        From the decision until the beam is off.
    read_every_s
        Between two read-backs.
    """

    account: DoseAccount
    blank_takes_s: float = 0.02
    read_every_s: float = 0.2
    tick_s: float = 0.02
    initial: State = field(default_factory=lambda: State(blanked=True))
    now_ns: int = BEGIN_NS

    def __post_init__(self) -> None:
        self.microscope = Microscope(self.initial, now_ns=lambda: self.now_ns)
        self.microscope.dose()
        self.commands = 0
        self.refused: list[str] = []
        self.blanks: list[str] = []
        self._kept = ""
        self._next_read = self._next_keep = self.now_ns
        self._off_at: int | None = None
        self._blanking = False

    def readback(self) -> Readback:
        values = self.microscope.readback()
        del values["epoch"]
        return Readback(self.now_ns, values)

    def read(self) -> None:
        found, changes = self.readback(), self.account.changes
        self.account.read(found)
        if self.account.changes != changes:
            self._keep()
        if found.values["blanked"]:
            self._blanking = False
        self._next_read = self.now_ns + int(self.read_every_s * 1e9)

    def obey(self, action: str, fields: Mapping[str, Any]) -> None:
        """Have the microscope do it, whoever asks."""
        self.commands += 1
        request = {"action": action, "id": f"{self.commands}", **fields}
        answer = self.microscope.command(request)
        assert answer.ok, answer.reason

    def propose(self, action: str, takes_s: float = 0.005, **fields: Any) -> bool:
        """Send a command as the guard would; False if the budget does not allow it."""
        calls = [Call(action, fields)]
        if why := self.account.may(calls, self.now_ns):
            self.refused.append(why)
            return False
        self.account.sent(calls, self.now_ns)
        self._keep()
        self._wait(takes_s / 2)
        self.obey(action, fields)
        self._wait(takes_s / 2)
        self.read()
        return True

    def go(self, seconds: float) -> None:
        """Let time go by, with ticks and read-backs, and blank when it is said."""
        self._wait(seconds, read=True)

    def _wait(self, seconds: float, *, read: bool = False) -> None:
        until = self.now_ns + int(seconds * 1e9)
        while self.now_ns < until:
            self._sleep(min(self.tick_s, (until - self.now_ns) / 1e9))
            if read and self.now_ns >= self._next_read:
                self.read()
            if self.now_ns >= self._next_keep:
                self._keep()
            if self._blanking:
                continue  # the guard has asked for it, and waits until it is seen
            if why := self.account.must_blank(self.now_ns):
                self._blanking = True
                self.blanks.append(why)
                self._off_at = self.now_ns + int(self.blank_takes_s * 1e9)

    def die(self, seconds: float, new: DoseSettings) -> None:
        """Be without a guard for some time, and go on from what is in the file."""
        self._sleep(seconds)
        self.account = DoseAccount(new, json.loads(self._kept))

    def _keep(self) -> None:
        """Write the file: each second, before a command, and after a change."""
        self._kept = json.dumps(self.account.to_dict())
        self._next_keep = self.now_ns + 1_000_000_000

    def truth(self, points: list[tuple[float, float]] | None = None) -> dict[str, Any]:
        return self.microscope.dose(points or [])

    def _sleep(self, seconds: float) -> None:
        """Let time go by; a blank that is under way ends in it."""
        until = self.now_ns + max(1, math.ceil(seconds * 1e9))
        if self._off_at is not None and self._off_at <= until:
            self.now_ns, self._off_at = max(self._off_at, self.now_ns), None
            self.obey("blank", {"on": True})
            self.account.blanked(self.now_ns)
        self.now_ns = until


REGION_M = 1e-6
"""Between two regions of `work`, which lie along x."""


def work(hour: Hour, seconds: float, again: DoseSettings, *, regions: int = 6) -> int:
    """Do what a microscopist does, for so long; return how many moves were made.

    The stage goes from region to region; view and beam wander about each by up to half
    of a field; the beam is blanked and let on, made brighter and darker. Each ten
    minutes the guard dies and is started again 2.5 s later.
    """
    rng, moves = Random(1), 0
    until = hour.now_ns + int(seconds * 1e9)
    next_death = hour.now_ns + int(600e9)
    while hour.now_ns < until:
        chance = rng.random()
        if chance < 0.3:
            x_m = -REGION_M * rng.randrange(regions)
            moves += hour.propose("move_stage", takes_s=0.3, x_m=x_m, y_m=0.0)
        elif chance < 0.65:
            action = rng.choice(["set_view_offset", "set_beam_shift"])
            y_m, x_m = rng.uniform(-50e-9, 50e-9), rng.uniform(-50e-9, 50e-9)
            moves += hour.propose(action, y_m=y_m, x_m=x_m)
        elif chance < 0.75:
            hour.propose("blank", on=True)
        elif chance < 0.9:
            hour.propose("set_dose_rate", e_per_A2_s=rng.choice([5.0, 10.0, 20.0]))
        hour.go(rng.uniform(0.5, 4))
        hour.propose("blank", on=False)
        hour.go(rng.uniform(1, 8))
        if hour.now_ns > next_death:
            next_death += int(600e9)
            hour.die(2.5, again)
            hour.read()
    return moves
