"""A batch of which only some frames are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.events import EventBatch, renumber
from scopeside.packed import PLAIN, AnyBatch, PackedBatch
from scopeside.runs.message import BatchMessage, batch_of, message_of

BoolArray = npt.NDArray[np.bool_]


def cut(message: BatchMessage, kept: BoolArray) -> BatchMessage:
    """Return a batch with the frames where ``kept (n,)`` is true, at least one.

    Frames, indices and times are copied; nothing of what is kept is changed.
    """
    header = message.header
    batch = _only(batch_of(header, message.parts), kept)
    own = {"acq", "epoch", "n", "index", "t_ns", "shape", "dtype", "codec"}
    more = {key: value for key, value in header.items() if key not in own}
    return message_of(header["acq"], batch, **more)


def _only(batch: AnyBatch, kept: BoolArray) -> AnyBatch:
    index, times = batch.index[kept], batch.timestamp_ns[kept]
    if isinstance(batch, Batch):
        return Batch(batch.pixels[kept], index, times, batch.epoch)
    words = (
        _events(batch, kept) if isinstance(batch, EventBatch) else _packed(batch, kept)
    )
    return replace(batch, words=words, index=index, timestamp_ns=times)


def _events(batch: EventBatch, kept: BoolArray) -> npt.NDArray[np.uint64]:
    words = batch.words.copy()
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    return words[: renumber(words, place)]


def _packed(batch: PackedBatch, kept: BoolArray) -> npt.NDArray[np.uint64]:
    bounds = batch.bounds // 8
    frames = [batch.words[bounds[k] : bounds[k + 1]] for k in np.flatnonzero(kept)]
    sizes = np.array([0, *(len(frame) for frame in frames)], np.uint64)
    table = np.uint64(len(frames)) + np.cumsum(sizes)[:-1]
    table |= np.where(batch.plain[kept], PLAIN, np.uint64(0))
    return np.concatenate([table, *frames])
