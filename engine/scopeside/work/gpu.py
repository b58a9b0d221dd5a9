"""A chain of which some processors run on a GPU, and what happens when it fails.

A batch keeps its slot in the slab until the collector has accepted the part that it
went into, not only until it is copied: should the card, or the worker, fail before,
the frames are there to be done again. So a failing card loses nothing. The worker goes
back to the last commit, does the batches since then on the CPU, stays there, and says
so loudly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TypeGuard

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.changes import Held
from scopeside.device.card import Card
from scopeside.device.lanes import ALIGNED, CardFrames, Lanes, Ring
from scopeside.device.twin import Finish, OnCard
from scopeside.errors import DeviceFailedError
from scopeside.packed import AnyBatch
from scopeside.pipeline import Chain
from scopeside.processor import Device, Processor
from scopeside.slab import Slab
from scopeside.work.chain import ChainRun, Said

log = logging.getLogger(__name__)

PLACES = 4
"""Batches on a card: one that is worked on, three that are being copied."""


class Gpu:
    """The card of a worker, for as long as it works.

    Parameters
    ----------
    batch_bytes
        What a batch usually has, bytes; larger ones are taken, and allocate once.
    tell
        Is given what the operator must hear.
    """

    def __init__(
        self, card: Card, batch_bytes: int, tell: Callable[[str], None]
    ) -> None:
        self.name = card.name
        self.batch_bytes = batch_bytes
        self._tell = tell
        self._lanes: Lanes | None = Lanes(card)
        self._lost: Lanes | None = None

    @property
    def lanes(self) -> Lanes | None:
        """The card's streams; None after it has failed."""
        return self._lanes

    @property
    def doing(self) -> str:
        """What does the work, in words: the card, or the CPU in its place."""
        return self.name if self._lanes is not None else f"cpu ({self.name} failed)"

    def pin(self, slab: Slab) -> None:
        """Lock the slab in memory, for copies at the full speed of the link."""
        assert self._lanes is not None
        try:
            self._lanes.card.register(slab.address, slab.size)
        except DeviceFailedError as error:
            self._tell(
                f"the slab cannot be locked, copies to {self.name} are slower: {error}"
            )

    def prepare(self, chain: Chain) -> None:
        """Compile the kernels of a chain; a card that cannot is given up."""
        for step in chain.steps:
            compile_now = getattr(step.cls, "prepare_card", None)
            if compile_now is not None and self._lanes is not None:
                try:
                    compile_now(self._lanes)
                except DeviceFailedError as error:
                    self.lose(error)

    def lose(self, error: DeviceFailedError) -> None:
        """Give the card up, for good, and say so."""
        if self._lanes is None:
            return
        # Kept, as nothing that a broken card holds can be freed in peace.
        self._lost, self._lanes = self._lanes, None
        log.warning("%s has failed: %s", self.name, error)
        self._tell(
            f"{self.name} has failed, the CPU goes on from the last part, nothing is "
            f"lost: {error}"
        )

    def run(
        self,
        chain: Chain,
        acquisition: Acquisition,
        device: Device,
        states: dict[str, bytes] | None,
        held: Held | None = None,
    ) -> ChainRun:
        """Return the chain for an acquisition, on the card if that still works."""
        if self._lanes is not None:
            try:
                return GpuRun(chain, acquisition, self, states, held)
            except DeviceFailedError as error:
                self.lose(error)
        return ChainRun(chain, acquisition, device, states, held)


class GpuRun(ChainRun):
    """A chain that gives a card what it can do; see `ChainRun`.

    Processors without a GPU twin, and those after one that has replaced the frames,
    work on the same frames in this machine's memory meanwhile.
    """

    def __init__(
        self,
        chain: Chain,
        acquisition: Acquisition,
        gpu: Gpu,
        states: dict[str, bytes] | None = None,
        held: Held | None = None,
    ) -> None:
        assert gpu.lanes is not None
        self._gpu = gpu
        self._since_commit: list[AnyBatch] = []
        # As many as `slab.Layout` puts into a slot.
        self._frames = max(1, gpu.batch_bytes // acquisition.frame_bytes)
        size = self._frames * (-(-acquisition.frame_bytes // ALIGNED) * ALIGNED)
        self._ring: Ring | None = Ring(gpu.lanes, PLACES, size)
        super().__init__(chain, acquisition, "gpu", states, held)
        if acquisition.encoding == "frames":
            self._warm()

    def ahead(self, batch: AnyBatch) -> None:
        """Begin to copy a batch that comes soon, if there is a place for it."""
        if self._ring is None or not _can_go(batch):
            return
        with suppress(DeviceFailedError):  # told when the batch itself comes
            self._ring.ahead(batch)

    def process(self, batch: AnyBatch) -> None:
        """Run a batch through all processors; on the CPU if the card fails."""
        if self._gpu.lanes is None and self._ring is not None:
            self._leave_card()
        if self._ring is None:
            super().process(batch)
            return
        try:
            if _can_go(batch) and self._refusal is None:
                self._process_on_card(batch, self._ring)
            else:
                super().process(batch)
        except DeviceFailedError as error:
            self._redo_on_cpu(error)
            super().process(batch)
        self._since_commit.append(batch)

    def commit(self) -> tuple[list[bytes], list[Said]]:
        """Return what `ChainRun.commit` does; results on the card are brought back."""
        try:
            found = super().commit()
        except DeviceFailedError as error:
            self._redo_on_cpu(error)
            found = super().commit()
        self._since_commit.clear()
        return found

    def rollback(self) -> None:
        """Forget everything since the last commit, and what the card is doing."""
        if self._ring is not None and self._gpu.lanes is not None:
            try:
                self._gpu.lanes.settle()
                self._ring.clear()
            except DeviceFailedError as error:
                self._gpu.lose(error)
        if self._gpu.lanes is None:
            self._ring, self._device = None, "cpu"
        self._since_commit.clear()
        super().rollback()

    def _redo_on_cpu(self, error: DeviceFailedError) -> None:
        """Leave the card, and do what came since the last commit again."""
        self._gpu.lose(error)
        self._leave_card()

    def _leave_card(self) -> None:
        """Go on without the card; another acquisition may have found it broken."""
        again = list(self._since_commit)
        self.rollback()
        for batch in again:
            # These went well on the card; they lie in their slots as they did.
            super().process(batch)

    def _process_on_card(self, batch: Batch, ring: Ring) -> None:
        assert self._gpu.lanes is not None
        frames: CardFrames | None = None
        on_host, replaced = batch, False
        finishes: list[tuple[int, Finish]] = []
        for k, processor in enumerate(self._processors):
            if not replaced and _goes_on_card(processor):
                frames = frames or ring.frames(batch)
                finishes.append((k, processor.launch(frames)))
                continue
            changed = processor.process(on_host)
            if changed is not None:
                on_host, replaced = changed, True
            self._listen(k)
        self._gpu.lanes.settle()
        for k, finish in finishes:
            finish()
            self._listen(k)
        ring.leave(batch)

    def _warm(self) -> None:
        """Run frames of zeros through the card, so that the first ones do not wait.

        Kernels are loaded, and all memory is allocated, that batches will need.
        """
        assert self._ring is not None
        about = self._acquisition
        nowhere = np.full(self._frames, -1, np.int64)
        frames = np.zeros((self._frames, *about.frame_shape), about.dtype)
        batch = Batch(frames, nowhere, np.zeros(self._frames, np.int64))
        if _can_go(batch):
            frames_on_card = self._ring.frames(batch)
            unread = [
                processor.launch(frames_on_card)
                for processor in self._processors
                if _goes_on_card(processor)
            ]
            assert self._gpu.lanes is not None
            self._gpu.lanes.settle()
            unread.clear()
        self.rollback()


def _goes_on_card(processor: Processor) -> TypeGuard[OnCard]:
    return isinstance(processor, OnCard) and processor.takes_card()


def _can_go(batch: AnyBatch) -> TypeGuard[Batch]:
    """Return whether a batch can be copied to a card as it lies."""
    if not isinstance(batch, Batch) or not len(batch):
        return False
    return batch.pixels.flags.c_contiguous and batch.pixels.dtype.isnative
