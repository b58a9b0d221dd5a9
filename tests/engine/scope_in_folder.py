"""A microscope that lives in a folder: it does what the files there say.

Every call is a line of ``calls``. A file of one of these names changes what happens,
for as long as it is there: ``gone`` (nothing can be opened, read or done), ``hangs``
(actions other than blanking do not return), ``refuses`` (actions fail), ``dark`` (no
blank works). Used in pipelines as ``tests.engine.scope_in_folder:Scope``.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

from scopeside.control.actions import ACTIONS, targets
from scopeside.control.instrument import Readback
from scopeside.errors import InstrumentError
from scopeside.params import Params as Base

_NUMBERS = itertools.count()


class Scope:
    class Params(Base):
        folder: Path

    actions = frozenset(ACTIONS)

    def __init__(self, params):
        self._folder = params.folder
        self._name = f"{os.getpid()}.{next(_NUMBERS)}"
        self._opened = False

    def check(self):
        return []

    def open(self):
        self._say("open")
        self._opened = True

    def close(self):
        self._opened = False

    def read(self):
        if self._is("gone") or not self._opened:
            raise InstrumentError("nobody answers")
        return Readback(time.time_ns(), state(self._folder))

    def act(self, call):
        blanks = call.action == "blank" and call.fields["on"]
        self._say(call.action, **call.fields)
        while self._is("hangs") and not blanks:
            time.sleep(0.005)
        if self._is("dark") and blanks:
            raise InstrumentError("the blanker is stuck")
        if self._is("refuses"):
            raise InstrumentError("not now")
        for quantity, value in targets(call.action, call.fields).items():
            write(self._folder / f"{quantity}.value", json.dumps(value))
        self._say(f"{call.action} done")
        return {"by": self._name}

    def _is(self, what):
        return (self._folder / what).exists()

    def _say(self, call, **fields):
        line = {"connection": self._name, "call": call, **fields}
        if self._is("gone"):
            raise InstrumentError("nobody answers")
        with (self._folder / "calls").open("a") as file:
            file.write(json.dumps(line) + "\n")


def write(path, text):
    """Write a file that is never seen half written."""
    beside = path.with_name(f"{path.name}.{next(_NUMBERS)}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def state(folder):
    """What the microscope is set to."""
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.value")}


def calls(folder, name=None):
    """What was asked of it, in order."""
    file = folder / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return [one for one in found if name is None or one["call"] == name]
