"""The whole result of one chain during one acquisition, made of parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

from scopeside.acquisition import Acquisition
from scopeside.changes import (
    Held,
    held_from_dict,
    held_to_dict,
    stamped,
    step_with,
    version_of,
)
from scopeside.errors import EngineError
from scopeside.ledger import FrameRanges
from scopeside.pipeline import Chain, Step
from scopeside.processor import Adjustable, Keyed, Mergeable, Order, Processor
from scopeside.publication import from_header, to_header
from scopeside.result import Result, invalid
from scopeside.wire import Buffer, Kind, Message, encode
from scopeside.work.chain import build

MAX_EVENTS = 1000
"""Results of ordered processors that wait to be published, at most."""


class Master:
    """Merges parts; a part that is here already is left out.

    `held`: the changes of parameters that hold from the first frame on.
    """

    def __init__(
        self, chain: Chain, acquisition: Acquisition, held: Held | None = None
    ) -> None:
        self.chain = chain
        self.acquisition = acquisition
        self.held = dict(held or {})
        self.merged = FrameRanges()
        self.told = FrameRanges()
        self.failed: dict[str, FrameRanges] = {}
        self.t_frame_ns = 0
        self.fresh: deque[tuple[str, Result]] = deque(maxlen=MAX_EVENTS)
        self._states: dict[str, bytes] = {}
        self._said: dict[tuple[str, str], Result] = {}
        self._refused = ""
        self._unchanged: dict[str, str] = {}
        self._steps: dict[str, Step] = {}
        self._processors: dict[str, Processor] = {}
        self._begin()

    def _begin(self) -> None:
        """Make the processors, with the parameters that hold."""
        self._refused, self._processors = "", {}
        try:
            self._steps = {
                step.name: step_with(self.chain, step.name, self.held)
                for step in self.chain.steps
            }
            self._processors = {
                name: build(step, self.acquisition, "cpu")
                for name, step in self._steps.items()
                if step.cls.order is not Order.ORDERED
            }
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            self._refused = f"{type(error).__name__}: {error}"

    def absorb(self, header: dict[str, Any], payload: Sequence[Buffer]) -> bool:
        """Take in a part; return whether it was new.

        Raises
        ------
        EngineError
            If some of its frames are here and some are not: a part is taken in
            whole or not at all, so this cannot be.
        """
        runs = [
            *header["runs"],
            *(run for _, runs, _ in header["failed"] for run in runs),
        ]
        known = [self._knows(first, last) for first, last in runs]
        if known and all(known):
            return False
        if any(known):
            raise EngineError(
                f"a part of chain {self.chain.name!r} overlaps what is merged: {runs}"
            )
        held = held_from_dict(header.get("held", {}))
        self._adopt(held)
        states = payload[: header["states"]]
        self._take_states(states, held, merge=bool(header["runs"]))
        self._take_said(header["said"], payload[header["states"] :])
        for first, last in header["runs"]:
            self.merged.add(first, last)
        for _, failed, cause in header["failed"]:
            ranges = self.failed.setdefault(cause, FrameRanges())
            for first, last in failed:
                ranges.add(first, last)
        self.t_frame_ns = max(self.t_frame_ns, header["t_ns"])
        return True

    def hear(self, header: dict[str, Any], payload: Sequence[Buffer]) -> bool:
        """Take in results that come before the state; return whether they are new.

        Results of the same frames come again where a worker or a collector has died;
        they are the same, and left out.
        """
        if all(self.told.overlaps(first, last) for first, last in header["runs"]):
            return False
        self._adopt(held_from_dict(header["held"]))
        self._take_said(header["said"], payload)
        for first, last in header["runs"]:
            self.told.add(first, last)
        self.t_frame_ns = max(self.t_frame_ns, header["t_ns"])
        return True

    def merged_results(self) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result) of those whose parts are merged, as of now."""
        if self._refused:
            for step in self.chain.steps:
                why = invalid(step.name, self._refused)
                yield step.name, self._stamped(step.name, why)
        for name, processor in self._processors.items():
            if name in self._unchanged:
                yield name, self._stamped(name, invalid(name, self._unchanged[name]))
                continue
            for result in processor.results():
                yield name, self._stamped(name, result)

    def results(self) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result) for all that is known now."""
        yield from self.merged_results()
        yield from self.said()

    def said(self) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result), the last that each has said frame by frame."""
        for (name, _), result in self._said.items():
            yield name, result

    def state_of_ordered(self) -> dict[str, bytes]:
        """Return what a new worker goes on from, by step name.

        The last committed state of ordered processors, the context of keyed ones.
        """
        contexts = {
            step.name: cast("Keyed", self._processors[step.name]).context()
            for step in self.chain.steps
            if step.cls.order is Order.KEYED and step.name in self._processors
        }
        return {**self._states, **contexts}

    def account(self) -> dict[str, Any]:
        """Return which frames are merged and which have failed."""
        return {
            "merged": self.merged.runs(),
            "failed": {cause: ranges.runs() for cause, ranges in self.failed.items()},
        }

    # -- the journal ------------------------------------------------------------

    def to_record(self) -> list[Buffer]:
        """Return all of it as one message, for the journal."""
        header: dict[str, Any] = {
            "acq": self.acquisition.id,
            "chain": self.chain.name,
            "account": self.account(),
            "told": self.told.runs(),
            "t_ns": self.t_frame_ns,
            "held": held_to_dict(self.held),
            "unchanged": self._unchanged,
            "steps": [*self._processors, *self._states],
            "said": [],
        }
        said: list[Buffer] = []
        for (step, _), result in self._said.items():
            head, arrays = to_header(result)
            header["said"].append([step, head, len(arrays)])
            said += arrays
        states: list[Buffer] = [
            *(processor.snapshot() for processor in self._processors.values()),
            *self._states.values(),
            *said,
        ]
        return encode(Kind.STATE, header, states)

    def from_record(self, message: Message) -> None:
        """Take over what `to_record` gave; only on a new object."""
        header = message.header
        self.merged = FrameRanges((a, b) for a, b in header["account"]["merged"])
        self.failed = {
            cause: FrameRanges((a, b) for a, b in runs)
            for cause, runs in header["account"]["failed"].items()
        }
        self.told = FrameRanges((a, b) for a, b in header["told"])
        self.t_frame_ns = header["t_ns"]
        self.held = held_from_dict(header["held"])
        self._unchanged = header["unchanged"]
        self._begin()
        names = header["steps"]
        for name, state in zip(names, message.payload[: len(names)], strict=True):
            if name in self._processors:
                self._processors[name].restore(bytes(state))
            else:
                self._states[name] = bytes(state)
        self._take_said(header["said"], message.payload[len(names) :])
        self.fresh.clear()

    # ---------------------------------------------------------------------------

    def _knows(self, first: int, last: int) -> bool:
        return self.merged.overlaps(first, last) or any(
            ranges.overlaps(first, last) for ranges in self.failed.values()
        )

    def _stamped(self, name: str, result: Result) -> Result:
        return stamped(result, self.held, name, self.acquisition.id)

    def _adopt(self, held: Held) -> None:
        """Change what a part with newer parameters than ours asks for."""
        newer = {
            name: change
            for name, change in held.items()
            if change.version > version_of(self.held, name)
        }
        self.held |= newer
        if newer and self._refused:
            self._begin()  # nothing was merged: it may be possible now
            return
        for name in newer:
            self._unchanged.pop(name, None)
            try:
                self._steps[name] = step = step_with(self.chain, name, self.held)
                if name in self._processors:
                    cast("Adjustable", self._processors[name]).change(step.params)
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                self._unchanged[name] = f"{type(error).__name__}: {error}"

    def _step_of(self, name: str, held: Held) -> Step:
        """Return a step as it was for a part, which may be an older one."""
        if version_of(held, name) == version_of(self.held, name):
            return self._steps[name]
        return step_with(self.chain, name, held)

    def _take_states(
        self, states: Sequence[Buffer], held: Held, *, merge: bool
    ) -> None:
        if not states:
            return  # of a chain that cannot take this acquisition
        for step, state in zip(self.chain.steps, states, strict=True):
            if step.cls.order is Order.ORDERED:
                self._states[step.name] = bytes(state)
            elif merge:
                part = build(self._step_of(step.name, held), self.acquisition, "cpu")
                part.restore(bytes(state))
                cast("Mergeable", self._processors[step.name]).merge(
                    cast("Mergeable", part)
                )

    def _take_said(self, said: Any, payload: Sequence[Buffer]) -> None:
        at = 0
        for step, header, n in said:
            result = from_header(header, [bytes(p) for p in payload[at : at + n]])
            at += n
            self._said[(step, result.name)] = result
            self.fresh.append((step, result))
