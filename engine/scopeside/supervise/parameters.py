"""Live changes of parameters: checked, tried, passed on, and acknowledged.

A change is checked as the pipeline file is, tried on the acquisition that runs, and
given to the adapter, which takes it and says from which frame on it holds. One change
at a time is with the adapter; those after it are checked against what it leaves.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.changes import Change
from scopeside.errors import ConfigError
from scopeside.messages import unknown
from scopeside.pipeline import Pipeline, Step
from scopeside.processor import Adjustable
from scopeside.supervise.processes import Note
from scopeside.wire import Kind
from scopeside.work.chain import build

MAX_LOG = 1000
"""Changes that are kept for the report."""

Say = Callable[..., None]
"""Called with the name of a process, a kind, and the header's fields."""
Answer = Callable[[bytes, dict[str, Any]], None]
"""Answers whoever asked."""
Open = Callable[[], list[dict[str, Any]]]
"""Gives the acquisitions that run."""


@dataclass(slots=True)
class _Asked:
    """A change that somebody has asked for."""

    sender: bytes
    name: str
    wanted: dict[str, Any]
    version: int = 0
    step: Step | None = None
    tried: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Current:
    """The parameters that were taken last, and since when they hold."""

    step: Step
    version: int = 1
    acquisition: str = ""
    frame: int = 0
    waiting: bool = False


class Parameters:
    """The parameters of all processors of an engine.

    Attributes
    ----------
    log
        The changes that took effect, as plain values.
    """

    def __init__(
        self, pipeline: Pipeline, say: Say, answer: Answer, note: Note, running: Open
    ) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=MAX_LOG)
        self._say = say
        self._answer = answer
        self._note = note
        self._running = running
        self._chains = {
            chain.name: {step.name: _Current(step) for step in chain.steps}
            for chain in pipeline.chains
        }
        self._queue: deque[_Asked] = deque()
        self._with_adapter: _Asked | None = None
        self._waiting: list[_Asked] = []
        self._adapter_is_there = False
        self._over = ""

    # -- what others say --------------------------------------------------------

    def ask(self, sender: bytes, header: Mapping[str, Any]) -> None:
        """Take a request; whoever sent it gets an answer, at once or later."""
        name, wanted = header.get("processor"), header.get("values")
        if not isinstance(name, str) or not isinstance(wanted, dict):
            self._answer(sender, {"error": "expected a processor and values"})
            return
        self._queue.append(_Asked(sender, name, wanted))
        self._go_on()

    def hear(self, header: Mapping[str, Any]) -> None:
        """Take the adapter's word on a change."""
        match header["answer"]:
            case "untried":
                self._try_again(header["acquisition"])
            case "taken":
                self._taken(header)
            case "replayed":
                self._replayed(Change.from_dict(header["recorded"]))
            case _:
                self._holds(header)

    def adapter_is_there(self) -> None:
        """Tell a new adapter process of all changes, before its first acquisition."""
        self._adapter_is_there = True
        for chain, steps in self._chains.items():
            for current in steps.values():
                if current.version > 1:
                    self._pass_on(chain, current.step, current.version, [])
        if (asked := self._with_adapter) is not None:
            self._send(asked)

    def adapter_is_gone(self) -> None:
        """Keep what is to be told until there is another."""
        self._adapter_is_there = False

    def close(self, reason: str) -> None:
        """Take no more changes."""
        self._over = self._over or reason
        queue, self._queue = self._queue, deque()
        for asked in queue:
            self._refuse(asked, f"{asked.name}: {self._over}")

    def end(self) -> None:
        """Tell those who still wait that no frame will come."""
        self.close("the engine is ending")
        waiting, self._waiting = self._waiting, []
        if self._with_adapter is not None:
            waiting.append(self._with_adapter)
            self._with_adapter = None
        for asked in filter(lambda one: one.sender, waiting):
            self._refuse(asked, f"{asked.name}: {self._over}")

    def status(self) -> dict[str, dict[str, Any]]:
        """Return version and values of each processor's parameters, and since when."""
        return {
            f"{chain}.{name}": {
                "version": current.version,
                "acquisition": current.acquisition,
                "frame": current.frame,
                "waiting": current.waiting,
                "params": json.loads(json.dumps(current.step.values, default=str)),
            }
            for chain, steps in self._chains.items()
            for name, current in steps.items()
        }

    # -- one change after another -------------------------------------------------

    def _go_on(self) -> None:
        """Send the next change that can be, if none is on its way."""
        while self._queue and self._with_adapter is None:
            asked = self._queue.popleft()
            try:
                self._check(asked)
            except ConfigError as error:
                self._refuse(asked, str(error))
            else:
                self._with_adapter = asked
                self._send(asked)

    def _check(self, asked: _Asked) -> None:
        if self._over:
            raise ConfigError(f"{asked.name}: {self._over}")
        current = self._current(asked.name)
        step = current.step
        if not hasattr(step.cls, "change"):
            raise ConfigError(
                f"{asked.name}: a processor of kind {step.kind!r} cannot change while "
                "the engine runs; stop it, change the pipeline file, start again"
            )
        values: Mapping[str, Any] = step.values
        for key, value in asked.wanted.items():
            values = _put(values, key, value, asked.name)
        asked.step = step.changed(values, where=asked.name)
        asked.version = current.version + 1
        for acquisition in self._running():
            self._try(asked, acquisition)

    def _try(self, asked: _Asked, values: dict[str, Any]) -> None:
        """Try a change on an object that has seen nothing of an acquisition."""
        before, after = self._current(asked.name).step, asked.step
        assert after is not None
        acquisition = Acquisition.from_dict(values)
        try:
            try:
                processor = build(before, acquisition, "cpu")
            except Exception:  # noqa: BLE001 - it was refused, and may be mended now
                processor = build(after, acquisition, "cpu")
            assert isinstance(processor, Adjustable)
            processor.change(after.params)
        except ConfigError as error:
            raise ConfigError(f"{asked.name}: {error}") from error
        except Exception as error:
            raise ConfigError(
                f"{asked.name}: {type(error).__name__}: {error}"
            ) from error
        asked.tried.append(acquisition.id)

    def _try_again(self, acquisition: dict[str, Any]) -> None:
        """Try it on an acquisition that has begun meanwhile, and send it again."""
        asked = self._with_adapter
        if asked is None:
            return
        try:
            self._try(asked, acquisition)
        except ConfigError as error:
            self._with_adapter = None
            self._refuse(asked, str(error))
            self._go_on()
        else:
            self._send(asked)

    def _taken(self, header: Mapping[str, Any]) -> None:
        asked = self._with_adapter
        if asked is None or not _is_for(header, asked):
            return  # one that was taken before, told to a new adapter
        assert asked.step is not None
        current = self._current(asked.name)
        current.step, current.version = asked.step, asked.version
        current.waiting = True
        self._with_adapter = None
        self._waiting.append(asked)
        said = {"processor": asked.name, "version": asked.version}
        self._answer(asked.sender, {**said, "state": "taken"})
        self._go_on()

    def _replayed(self, change: Change) -> None:
        """Take note of a change that nobody has asked for now."""
        try:
            current = self._current(change.name)
            step = current.step.changed(change.values, where=change.name)
        except ConfigError as error:
            self._note("engine", f"a recorded change is not known here: {error}")
            return
        asked = _Asked(b"", change.name, dict(change.values), change.version, step)
        current.step, current.version, current.waiting = step, change.version, True
        self._waiting.append(asked)

    def _holds(self, header: Mapping[str, Any]) -> None:
        asked = next((one for one in self._waiting if _is_for(header, one)), None)
        if asked is None:
            return
        assert asked.step is not None
        self._waiting.remove(asked)
        since = {"acquisition": header["acquisition"], "frame": header["frame"]}
        current = self._current(asked.name)
        if current.version == asked.version:
            current.waiting = False
            current.acquisition, current.frame = since["acquisition"], since["frame"]
        said = {"processor": asked.name, "version": asked.version, **since}
        if asked.sender:
            self._answer(asked.sender, {**said, "state": "holds"})
        values = json.loads(json.dumps(asked.step.values, default=str))
        self.log.append({**said, "params": values})
        where = f"of {since['acquisition']}" if since["acquisition"] else "of the next"
        wanted = ", ".join(f"{key} = {value}" for key, value in asked.wanted.items())
        self._note(
            "engine",
            f"{asked.name}: version {asked.version} of the parameters from frame "
            f"{since['frame']} {where} on: {wanted}",
        )

    # ---------------------------------------------------------------------------

    def _send(self, asked: _Asked) -> None:
        chain, _, _ = asked.name.partition(".")
        assert asked.step is not None
        self._pass_on(chain, asked.step, asked.version, asked.tried)

    def _pass_on(self, chain: str, step: Step, version: int, tried: list[str]) -> None:
        if self._adapter_is_there:
            change = Change(chain, step.name, version, step.values)
            self._say("adapter", Kind.PARAM, change=change.to_dict(), tried=tried)

    def _refuse(self, asked: _Asked, why: str) -> None:
        self._answer(asked.sender, {"error": why})

    def _current(self, name: str) -> _Current:
        chain, _, step = name.partition(".")
        if chain not in self._chains:
            raise ConfigError(unknown("chain", chain, self._chains))
        if step not in self._chains[chain]:
            what = f"processor of chain {chain!r}"
            raise ConfigError(unknown(what, step, self._chains[chain]))
        return self._chains[chain][step]


def _is_for(header: Mapping[str, Any], asked: _Asked) -> bool:
    return (header["name"], header["version"]) == (asked.name, asked.version)


def _put(values: Mapping[str, Any], key: str, value: Any, where: str) -> dict[str, Any]:
    """Return `values` with one put in its place; a key such as ``a.b`` leads there."""
    head, dot, rest = key.partition(".")
    if not dot:
        return {**values, head: value}
    inner = values.get(head, {})
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{where}.{head}: is no table, so {rest!r} is not in it")
    return {**values, head: _put(inner, rest, value, f"{where}.{head}")}
