"""A chain of processors during one acquisition: process, commit, roll back.

Between two commits the chain works on a group of batches. A commit hands out what the
group came to; a rollback forgets the group as if it had never been seen, which is how
one bad batch is kept from spoiling its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.changes import Held, stamped, step_with, version_of
from scopeside.errors import ChainRefusedError
from scopeside.packed import AnyBatch, SparseBatch
from scopeside.pipeline import Chain, Step
from scopeside.processor import Adjustable, Device, Keyed, Order, Processor, take_of
from scopeside.publication import to_header
from scopeside.result import Result


class Said(NamedTuple):
    """A result of an ordered processor, ready to travel."""

    step: str
    header: dict[str, Any]
    payload: list[bytes]


def build(step: Step, acquisition: Acquisition, device: Device) -> Processor:
    """Return a new processor of a step."""
    return step.cls(acquisition, step.params, device)


def _said(step: str, result: Result) -> Said:
    """Return a result as it is now: the processor may go on writing into it."""
    header, arrays = to_header(result)
    return Said(step, header, [bytes(array) for array in arrays])


class ChainRun:
    """The processors of one chain, new for one acquisition.

    Parameters
    ----------
    states
        What an earlier worker has come to, by step name: the last state of ordered
        processors, the last context of keyed ones. Absent for a new acquisition.
    held
        The changes of parameters that hold, and did when `states` were given.
    """

    def __init__(
        self,
        chain: Chain,
        acquisition: Acquisition,
        device: Device,
        states: dict[str, bytes] | None = None,
        held: Held | None = None,
    ) -> None:
        self._chain = chain
        self._acquisition = acquisition
        self._device = device
        self._held = dict(held or {})
        self._steps = [step_with(chain, step.name, self._held) for step in chain.steps]
        self._refusal: Exception | None = None
        self._committed: dict[str, bytes] = dict(states or {})
        self._said: list[Said] = []
        self._told = 0
        self._told_before = 0
        self._processors: list[Processor] = []
        self.state_bytes = 0
        """Size of the ordered processors' state, as of the last commit."""
        self.rollback()

    def process(self, batch: AnyBatch) -> None:
        """Run a batch through all processors."""
        if self._refusal is not None:
            raise ChainRefusedError(str(self._refusal)) from self._refusal
        if isinstance(batch, Batch):
            self._process(0, None, batch)
        else:
            self._process_sparse(batch)

    def _process(self, first: int, sparse: SparseBatch | None, frames: Batch) -> None:
        """Run frames through the processors from number `first` on.

        `sparse`: what they were made of, for the processors that take it.
        """
        for k in range(first, len(self._processors)):
            processor = self._processors[k]
            take = None if sparse is None else take_of(processor, sparse)
            if take is None:
                replaced = processor.process(frames)
                if replaced is not None:
                    sparse, frames = None, replaced
            elif (changed := take(sparse)) is not None:
                sparse, frames = changed, changed.dense()
            self._listen(k)

    def _process_sparse(self, sparse: SparseBatch) -> None:
        """Run events, or packed frames, through the processors.

        From the first on that wants frames they get them a few at a time: each frame
        is made once for all of them.
        """
        for k, processor in enumerate(self._processors):
            take = take_of(processor, sparse)
            if take is None:
                for piece, frames in sparse.portions():
                    self._process(k, piece, frames)
                return
            changed = take(sparse)
            sparse = sparse if changed is None else changed
            self._listen(k)

    def _listen(self, k: int) -> None:
        """Keep what an ordered processor has to say of its last batch."""
        step = self._chain.steps[k]
        if step.cls.order is Order.ORDERED:
            for result in self._processors[k].results():
                if self._told_before:
                    self._told_before -= 1  # said once more, after a rollback
                    continue
                known = stamped(result, self._held, step.name, self._acquisition.id)
                self._said.append(_said(step.name, known))

    def commit(self) -> tuple[list[bytes], list[Said]]:
        """Return a snapshot of each processor, and what the ordered ones said.

        Order-free processors begin anew: their snapshots are parts to be merged.
        Keyed ones as well, but for what they have learnt. Those of ordered processors
        are their whole state.
        """
        states = [processor.snapshot() for processor in self._processors]
        for k, step in enumerate(self._steps):
            self._keep(k, states[k])
            if step.cls.order is not Order.ORDERED:
                self._processors[k] = self._again(step)
        self.state_bytes = sum(
            len(state)
            for state, step in zip(states, self._steps, strict=True)
            if step.cls.order is Order.ORDERED
        )
        said = self.said()
        self._told = self._told_before = 0
        return states, said

    def said(self) -> list[Said]:
        """Return what the ordered processors have said since this was last asked.

        It is not said again when, after a rollback, they see the same batches.
        """
        said, self._said = self._said, []
        self._told += len(said)
        return said

    def rollback(self) -> None:
        """Forget everything since the last commit."""
        self._said, self._told_before = [], self._told
        self._processors = [self._again(step) for step in self._steps]

    def adopt(self, held: Held) -> None:
        """Go on with the parameters of other changes; only right after a commit.

        If one of the processors cannot, every batch fails until the next change.
        """
        self._refusal = None
        for k, step in enumerate(self._chain.steps):
            if version_of(held, step.name) == version_of(self._held, step.name):
                continue
            try:
                self._change(k, step_with(self._chain, step.name, held))
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                self._refusal = error
                self._processors[k] = self._again(self._steps[k])
            else:
                self._held.pop(step.name, None)
                if step.name in held:
                    self._held[step.name] = held[step.name]

    def _change(self, k: int, step: Step) -> None:
        """Begin anew with other parameters, or go on with them where order counts."""
        if step.cls.order is Order.ANY:
            self._processors[k] = build(step, self._acquisition, self._device)
        else:
            cast("Adjustable", self._processors[k]).change(step.params)
        self._steps[k] = step
        if step.cls.order is not Order.ANY:
            self._keep(k, self._processors[k].snapshot())

    def _keep(self, k: int, state: bytes) -> None:
        """Keep what a processor goes on from after a rollback; `state`: all of it."""
        step = self._steps[k]
        if step.cls.order is Order.ORDERED:
            self._committed[step.name] = state
        elif step.cls.order is Order.KEYED:
            self._committed[step.name] = cast("Keyed", self._processors[k]).context()

    def _again(self, step: Step) -> Processor:
        """Return a processor that goes on from the last commit."""
        processor = build(step, self._acquisition, self._device)
        if step.name in self._committed:
            kept = self._committed[step.name]
            if step.cls.order is Order.KEYED:
                cast("Keyed", processor).resume(kept)
            else:
                processor.restore(kept)
        return processor


class RefusedRun:
    """Stands in for a chain that cannot take an acquisition; every batch fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def process(self, _batch: AnyBatch) -> None:
        """Refuse the batch, for the reason why there is no chain."""
        raise ChainRefusedError(str(self._error)) from self._error

    def commit(self) -> tuple[list[bytes], list[Said]]:
        """Return that nothing came of it."""
        return [], []

    def rollback(self) -> None:
        """Forget nothing, there is nothing."""


def run_of(
    chain: Chain,
    acquisition: Acquisition,
    device: Device,
    states: dict[str, bytes],
    held: Held | None = None,
    *,
    made: Callable[..., ChainRun] | None = None,
) -> ChainRun | RefusedRun:
    """Return the chain for an acquisition, or what stands in for it.

    `made` makes it: `ChainRun` if None, or what makes one that runs on a GPU.

    A processor may find only now that it cannot work, when it knows the frames: a
    virtual detector may lie outside of them. That is no reason for the process, which
    serves other acquisitions as well, to die.
    """
    try:
        return (made or ChainRun)(chain, acquisition, device, states, held)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        return RefusedRun(error)


def cause_of(error: Exception) -> str:
    """Return the cause under which a failure stands in the ledger."""
    return "refused" if isinstance(error, ChainRefusedError) else type(error).__name__
