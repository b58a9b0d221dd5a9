"""Some frames of a batch, as a smaller batch; payloads stay as they were received."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.events import EventBatch
from scopeside.packed import PLAIN, AnyBatch, PackedBatch

BoolArray = npt.NDArray[np.bool_]
_PLACE = np.uint64(40)


def cut(batch: AnyBatch, kept: BoolArray) -> AnyBatch:
    """Return the frames of a batch that are ``kept (n,)``, in their order.

    Frames that lie side by side are not copied, if they are there pixel by pixel.
    """
    index, times = batch.index[kept], batch.timestamp_ns[kept]
    if isinstance(batch, Batch):
        return Batch(batch.pixels[_slice_or_mask(kept)], index, times, batch.epoch)
    cut_words = _events if isinstance(batch, EventBatch) else _packed
    words = cut_words(batch, kept)  # type: ignore[arg-type]
    if isinstance(batch, PackedBatch):
        return replace(batch, words=words, index=index, timestamp_ns=times, shared={})
    return replace(batch, words=words, index=index, timestamp_ns=times)


def _slice_or_mask(kept: BoolArray) -> slice | BoolArray:
    places = np.flatnonzero(kept)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return kept


def _events(batch: EventBatch, kept: BoolArray) -> npt.NDArray[np.uint64]:
    """Return the events of the frames that are kept, with their new places."""
    place = batch.place
    stays = kept[place]
    new = np.cumsum(kept) - 1
    moved = (place - new[place])[stays].astype(np.uint64)
    words: npt.NDArray[np.uint64] = batch.words[stays] - (moved << _PLACE)
    return words


def _packed(batch: PackedBatch, kept: BoolArray) -> npt.NDArray[np.uint64]:
    """Return a new table, and the packed frames that are kept behind it."""
    bounds = batch.bounds // 8
    places = np.flatnonzero(kept)
    sizes = (bounds[1:] - bounds[:-1])[places]
    starts = len(places) + np.concatenate([[0], np.cumsum(sizes)[:-1]])[: len(places)]
    table = starts.astype(np.uint64) | (batch.words[places] & PLAIN)
    frames = [batch.words[bounds[k] : bounds[k + 1]] for k in places]
    return np.concatenate([table, *frames])
