"""The whole result of one chain during one acquisition, made of parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

from scopeside.acquisition import Acquisition
from scopeside.errors import EngineError
from scopeside.ledger import FrameRanges
from scopeside.pipeline import Chain
from scopeside.processor import Keyed, Mergeable, Order, Processor
from scopeside.publication import from_header, to_header
from scopeside.result import Result, invalid
from scopeside.wire import Buffer, Kind, Message, encode
from scopeside.work.chain import build

MAX_EVENTS = 1000
"""Results of ordered processors that wait to be published, at most."""


class Master:
    """Merges parts; a part that is here already is left out."""

    def __init__(self, chain: Chain, acquisition: Acquisition) -> None:
        self.chain = chain
        self.acquisition = acquisition
        self.merged = FrameRanges()
        self.failed: dict[str, FrameRanges] = {}
        self.t_frame_ns = 0
        self.fresh: deque[tuple[str, Result]] = deque(maxlen=MAX_EVENTS)
        self._states: dict[str, bytes] = {}
        self._said: dict[tuple[str, str], Result] = {}
        self._refused = ""
        self._processors: dict[str, Processor] = {}
        try:
            self._processors = {
                step.name: build(step, acquisition, "cpu")
                for step in chain.steps
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
        self._take_states(payload[: header["states"]], merge=bool(header["runs"]))
        self._take_said(header["said"], payload[header["states"] :])
        for first, last in header["runs"]:
            self.merged.add(first, last)
        for _, failed, cause in header["failed"]:
            ranges = self.failed.setdefault(cause, FrameRanges())
            for first, last in failed:
                ranges.add(first, last)
        self.t_frame_ns = max(self.t_frame_ns, header["t_ns"])
        return True

    def merged_results(self) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result) of those whose parts are merged, as of now."""
        if self._refused:
            for step in self.chain.steps:
                yield step.name, invalid(step.name, self._refused)
        for name, processor in self._processors.items():
            for result in processor.results():
                yield name, result

    def results(self) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result) for all that is known now."""
        yield from self.merged_results()
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
            "t_ns": self.t_frame_ns,
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
        self.t_frame_ns = header["t_ns"]
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

    def _take_states(self, states: Sequence[Buffer], *, merge: bool) -> None:
        if not states:
            return  # of a chain that cannot take this acquisition
        for step, state in zip(self.chain.steps, states, strict=True):
            if step.cls.order is Order.ORDERED:
                self._states[step.name] = bytes(state)
            elif merge:
                part = build(step, self.acquisition, "cpu")
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
