"""A run's folder with a real guard process in it, for tests to be everybody else."""

from __future__ import annotations

import itertools
import json
import os
import time

import zmq
from tests.engine.scope_in_folder import calls, write
from tests.engine.small import eventually

from scopeside.board import Board
from scopeside.child import Spec
from scopeside.control.proposal import Evidence, Proposal
from scopeside.link import Link
from scopeside.supervise.forks import Forks
from scopeside.supervise.member import Member, RestartBudget
from scopeside.wire import Kind

TOKEN = "of this run"
FIELD = {"min": -1e-6, "max": 1e-6, "step": 1e-6, "excursion": 1e-6, "tolerance": 1e-12}
LIMITS = {"set_beam_shift": {"every_s": 1e-3, "x_m": FIELD, "y_m": FIELD}}


class Room:
    """A run's folder with a guard in it; the test is supervisor, adviser, person."""

    def __init__(self, folder, closing, **control):
        self.folder = folder
        self.scope = folder / "scope"
        self.scope.mkdir()
        for quantity, value in {
            "beam_shift_x_m": 0.0,
            "beam_shift_y_m": 0.0,
            "blanked": False,
            "stage_x_m": 0.0,
            "stage_y_m": 0.0,
        }.items():
            write(self.scope / f"{quantity}.value", json.dumps(value))
        self.audit = folder / "audit.jsonl"
        kind = "tests.engine.scope_in_folder:Scope"
        table = {
            "mode": "armed",
            "adapter": {"kind": kind, "folder": str(self.scope)},
            "audit": str(self.audit),
            "read_every_ms": 20,
            "silence_ms": 5000,
            "limits": LIMITS,
            **control,
        }
        self.spec = Spec(
            role="guard",
            name="guard",
            incarnation=0,
            run_folder=str(folder),
            pipeline={"control": table},
            pipeline_folder=str(folder),
            pipeline_source="test",
            board_fd=Board.allocate(),
            parent=os.getpid(),
            token=TOKEN,
        )
        closing.callback(os.close, self.spec.board_fd)
        context = zmq.Context()
        closing.callback(context.destroy, linger=0)
        self.control = Link.listen(context, self.spec.endpoint("control"))
        self.adviser = Link.dial(context, self.spec.endpoint("guard"), "adviser#1")
        self.person = Link.dial(context, self.spec.endpoint("guard"), "anna")
        self.stop = Link.dial(context, self.spec.endpoint("stop"), "anna")
        closing.callback(self._close)
        self.said = {name: [] for name in ("control", "adviser", "person", "stop")}
        self.beats = True
        self.degraded = []
        forks = Forks(())
        closing.callback(forks.close)
        self.member = Member(self.spec, RestartBudget(9, 60), forks)
        closing.callback(self._end)
        self._numbers = itertools.count(1)

    def _close(self):
        for link in (self.control, self.adviser, self.person, self.stop):
            link.close()

    def _end(self):
        (self.scope / "hangs").unlink(missing_ok=True)
        self.member.kill()
        if self.member.process is not None:
            self.member.reap()

    @property
    def identity(self):
        return self.member.spec.identity.encode()

    def turn(self):
        """Beat, and hear what is said."""
        if self.beats:
            self.control.send(Kind.BEAT, {"degraded": self.degraded}, to=self.identity)
        while (found := self.control.receive_from()) is not None:
            self.said["control"].append(found[1])
        for name in ("adviser", "person", "stop"):
            while (message := getattr(self, name).receive()) is not None:
                self.said[name].append(message)
        time.sleep(0.002)

    def until(self, condition, what="it"):
        eventually(condition, self.turn, what)
        return condition()

    def heard(self, name, kind, **having):
        """What was said to one, the last first."""
        return [
            message.header
            for message in reversed(self.said[name])
            if message.kind is kind
            and all(message.header.get(key) == value for key, value in having.items())
        ]

    def wait_for(self, name, kind, **having):
        return self.until(lambda: self.heard(name, kind, **having), f"{kind} {having}")[
            0
        ]

    def start(self):
        """Start a guard and wait for its first word."""
        for name in ("control", "adviser"):
            self.said[name].clear()
        self.member.start()

        self.until(lambda: self.alive and self.heard("control", Kind.READY), "READY")
        self.control.send(Kind.EPOCH, {"epoch": 1}, to=self.identity)
        self.adviser.send(Kind.JOIN, {"token": TOKEN})
        return self

    def ready(self):
        self.start()
        self.until(lambda: self.alive and self.known is not None, "a read-back")
        return self

    @property
    def alive(self):
        assert self.member.alive, "\n".join(self.member.read_stderr())
        return True

    @property
    def known(self):
        found = self.heard("adviser", Kind.READBACK)
        return found[0]["values"] if found else None

    def asks(self, ask, **fields):
        name = fields.pop("id", f"ask{next(self._numbers)}")
        self.person.send(Kind.ASK, {"ask": ask, "id": name, "who": "anna", **fields})
        return self.wait_for("person", Kind.ANSWER, id=name)

    def asks_stop(self, ask):
        name = f"ask{next(self._numbers)}"
        self.stop.send(Kind.ASK, {"ask": ask, "id": name, "who": "anna"})
        return self.wait_for("stop", Kind.ANSWER, id=name)

    def status(self):
        self.said["person"].clear()
        self.person.send(Kind.STATUS, {})
        return self.wait_for("person", Kind.STATUS)

    def armed(self):
        """Start a guard and arm it."""
        self.ready()
        assert self.asks("arm", seconds=600)["ok"]
        return self

    def answers_within(self, seconds):
        """Whether the main loop answers so soon."""
        self.said["person"].clear()
        self.person.send(Kind.STATUS, {})
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.heard("person", Kind.STATUS):
            self.turn()
        return bool(self.heard("person", Kind.STATUS))

    def proposes(self, x_m, token=TOKEN):
        """Propose a beam shift; returns the id."""
        now_ns = time.time_ns()
        name = f"a/test/{next(self._numbers)}"
        proposal = Proposal(
            id=name,
            action="set_beam_shift",
            fields={"x_m": x_m, "y_m": 0.0},
            rule="test",
            evidence=Evidence("a", 1, 0, 0, now_ns),
            created_ns=now_ns,
            deadline_ns=now_ns + 10**9,
        )
        header = {"token": token, "proposal": proposal.to_dict()}
        self.adviser.send(Kind.PROPOSAL, header)
        return name

    def decided(self, name, *states):
        """Wait until a proposal has come to one of these states."""

        def found():
            said = self.heard("adviser", Kind.DECIDED, id=name)
            return [one for one in said if one["state"] in states]

        return self.until(found, f"{name} {states}")[0]

    def shifts(self):
        return [one["x_m"] for one in calls(self.scope, "set_beam_shift")]

    def records(self):
        text = self.audit.read_text() if self.audit.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def ended(self):
        return self.member.process.poll() is not None
