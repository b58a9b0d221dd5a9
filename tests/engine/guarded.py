"""A guard with a microscope on paper, and a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

from tests.hostile_commands import ACTIONS, LIMITS, MS, S

from scopeside.control.effects import Blank, Effect, Say, Send, Tell, Write
from scopeside.control.guard import Guard
from scopeside.control.instrument import Call, Readback
from scopeside.control.settings import ControlSettings

T0 = 1_700_000_000 * S
VALUES: dict[str, Any] = {
    "beam_shift_x_m": 0.0,
    "beam_shift_y_m": 0.0,
    "image_shift_x_m": 0.0,
    "image_shift_y_m": 0.0,
    "exposure_s": 0.1,
    "blanked": False,
}


def control(**changes: Any) -> ControlSettings:
    """Settings with limits, armed at most, that may be changed."""
    values: dict[str, Any] = {
        "mode": "armed",
        "adapter": {"kind": "paper"},
        "limits": LIMITS,
    }
    return ControlSettings(**{**values, **changes})


class FakeDose:
    """A dose account that says what it is told to say."""

    def __init__(self) -> None:
        self.lacking = ""
        self.enforced = True
        self.forbids = ""
        self.urges = ""
        self.heard: list[Any] = []

    def read(self, readback: Readback) -> None:
        self.heard.append(readback)

    def measured(self, rate: float, sigma: float, t_ns: int) -> None:
        self.heard.append((rate, sigma, t_ns))

    def sent(self, calls: Any, now_ns: int) -> None:
        self.heard.append(("sent", *calls))

    def blanked(self, now_ns: int) -> None:
        self.heard.append("blanked")

    def may(self, calls: Any, now_ns: int) -> str:
        return self.forbids

    def must_blank(self, now_ns: int) -> str:
        return self.urges

    def status(self, now_ns: int) -> dict[str, Any]:
        return {"spent": 0.0}


class Desk:
    """Talks to a guard; keeps every effect, and does what the process would do."""

    def __init__(self, guard: Guard | None = None, **settings: Any) -> None:
        self.now = T0
        self.guard = guard or Guard(control(**settings), ACTIONS)
        self.values = dict(VALUES)
        self.effects: list[Effect] = []
        self.numbered = 0

    # -- time ----------------------------------------------------------------

    def wait(
        self, ms: float, *, alive: bool = True, reads: bool = True
    ) -> list[Effect]:
        """Let time pass in steps of 20 ms, with beats and read-backs unless not."""
        out = []
        end = self.now + int(ms * MS)
        while self.now < end:
            self.now = min(self.now + 20 * MS, end)
            if alive:
                out += self.beat()
            if reads:
                out += self.read()
            out += self.done(self.guard.tick(self.now))
        return out

    # -- what comes to the guard ------------------------------------------------

    def beat(self, epoch: int = 1, degraded: tuple[str, ...] = ()) -> list[Effect]:
        return self.done(self.guard.beat(epoch, degraded, self.now))

    def read(self, **values: Any) -> list[Effect]:
        self.values |= values
        return self.done(
            self.guard.read(Readback(self.now, dict(self.values)), self.now)
        )

    def ready(self) -> Desk:
        """Let the engine be heard, and the instrument be read."""
        self.beat()
        self.read()
        return self

    def armed(self, seconds: float = 600) -> Desk:
        self.ready()
        assert self.ask("arm", seconds=seconds).state == "done"
        return self

    def proposal(self, **changes: Any) -> dict[str, Any]:
        """A good proposal, with changes; those of the evidence as ``evidence=…``."""
        self.numbered += 1
        evidence: dict[str, Any] = {
            "acquisition": "a1",
            "epoch": 1,
            "first": 0,
            "frame": 7,
            "t_frame_ns": self.now - 10 * MS,
            "sources": [
                {
                    "chain": "main",
                    "processor": "drift",
                    "name": "shift",
                    "digest": "00",
                    "params": 1,
                }
            ],
            "confidence": 0.9,
            "valid": True,
            "reason": "",
            "missed": 0,
        }
        values = {
            "id": f"a1/hold_still/7/{self.numbered}",
            "action": "set_beam_shift",
            "fields": {"x_m": 1e-8, "y_m": 0.0},
            "rule": "hold_still",
            "created_ns": self.now - MS,
            "deadline_ns": self.now + 900 * MS,
            "why": "the specimen drifts",
        }
        evidence |= changes.pop("evidence", {})
        return {**values, "evidence": evidence, **changes}

    def propose(self, client: str = "adviser", **changes: Any) -> Tell:
        return self.give(self.proposal(**changes), client)

    def give(self, values: Any, client: str = "adviser") -> Tell:
        """Propose it as it stands; returns what the client was told first."""
        out = self.done(self.guard.propose(values, client, self.now))
        return next(one for one in out if isinstance(one, Tell))

    def ask(self, ask: str, **more: Any) -> Tell:
        out = self.asks({"ask": ask, "who": "anna", **more})
        return next(
            one for one in out if isinstance(one, Tell) and one.client == "page"
        )

    def asks(self, request: Any) -> list[Effect]:
        return self.done(self.guard.ask(request, "page", self.now))

    def carry_out(self, send: Send, **answer: Any) -> list[Effect]:
        """Do what was sent, 2 ms later, and answer with a read-back."""
        self.now += 2 * MS
        for call in send.calls:
            self.values |= {
                quantity_of(call.action, name): value
                for name, value in call.fields.items()
            }
        given = {"ok": True, "answer": {}, "reason": ""}
        given["readback"] = Readback(self.now, dict(self.values))
        given |= answer
        return self.done(
            self.guard.answered(send.id, **given, now_ns=self.now)  # type: ignore[arg-type]
        )

    def blanked(self, ok: bool = True, reason: str = "") -> list[Effect]:
        self.now += 2 * MS
        self.values["blanked"] = ok
        return self.done(self.guard.blanked(ok, reason, self.now))

    # -- what the guard does ----------------------------------------------------

    def done(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        return effects

    @property
    def sends(self) -> list[Send]:
        return [one for one in self.effects if isinstance(one, Send)]

    @property
    def blanks(self) -> list[Blank]:
        return [one for one in self.effects if isinstance(one, Blank)]

    @property
    def said(self) -> list[str]:
        return [one.text for one in self.effects if isinstance(one, Say)]

    def tells(self, key: str) -> list[str]:
        """States that were told of an id, in order."""
        return [
            one.state for one in self.effects if isinstance(one, Tell) and one.id == key
        ]

    def records(self, kind: str) -> list[Any]:
        return [
            one.body
            for one in self.effects
            if isinstance(one, Write) and one.kind == kind
        ]

    def events(self, what: str) -> list[Any]:
        return [one for one in self.records("event") if one["what"] == what]

    @property
    def mode(self) -> str:
        return str(self.guard.status()["mode"])

    @property
    def parked(self) -> str:
        """Why it is parked, one word; empty if it is not."""
        found = self.guard.status()["parked"]
        return found["cause"] if found else ""


def quantity_of(action: str, name: str) -> str:
    """What a read-back calls a field of the few actions that are used here."""
    if action == "blank":
        return "blanked"
    stem = action.removeprefix("set_")
    return f"{stem}_{name}" if stem.endswith("shift") else name


def call(action: str, **fields: Any) -> Call:
    return Call(action, fields)
