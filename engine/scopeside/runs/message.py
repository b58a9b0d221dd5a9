"""Batches as messages of the frame wire, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import check_dtype
from scopeside.batch import Batch
from scopeside.dtypes import dtype_of
from scopeside.errors import RunError
from scopeside.events import EventBatch
from scopeside.packed import AnyBatch, PackedBatch
from scopeside.wire import Buffer

CODECS = {"raw": "frames", "events": "events", "packed": "packed"}
"""What a payload is, and the encoding of an acquisition that has such ones."""


class BatchMessage(NamedTuple):
    """A BATCH, and what the index says of it."""

    header: dict[str, Any]
    parts: list[Buffer]
    n: int
    first: int
    last: int
    t_ns: int
    t_last_ns: int


def message_of(acquisition: str, batch: AnyBatch, **more: Any) -> BatchMessage:
    """Return the message of a batch, its payload as it is; nothing is copied.

    `more`: fields of the header beside those of the frame wire, such as ``seq`` and
    ``change``.
    """
    if isinstance(batch, Batch):
        codec, payload = "raw", batch.pixels
        shape, dtype = batch.pixels.shape[1:], batch.pixels.dtype
    else:
        codec = "packed" if isinstance(batch, PackedBatch) else "events"
        payload, shape, dtype = batch.words, batch.frame_shape, batch.dtype
    n = len(batch.index)
    header = {
        "acq": acquisition,
        "epoch": batch.epoch,
        "n": n,
        "index": True,
        "t_ns": True,
        "shape": list(shape),
        "dtype": dtype.str,
        "codec": codec,
        **more,
    }
    return BatchMessage(
        header,
        [_bytes_of(payload), _bytes_of(batch.index), _bytes_of(batch.timestamp_ns)],
        n,
        int(batch.index.min()),
        int(batch.index.max()),
        int(batch.timestamp_ns[0]),
        int(batch.timestamp_ns[-1]),
    )


def batch_of(header: Mapping[str, Any], parts: Sequence[Buffer]) -> AnyBatch:
    """Return the batch of a recorded BATCH; its arrays lie in the parts.

    Raises
    ------
    RunError
        If the parts are not those that the header speaks of.
    """
    try:
        payload, index, times = parts
        n, codec = int(header["n"]), header["codec"]
        height, width = (int(number) for number in header["shape"])
        dtype = check_dtype(dtype_of(header["dtype"]))
        if min(n, height, width) < 1:
            raise ValueError(f"{n} frames of {height}×{width}")
        epoch = int(header.get("epoch", 0))
        numbers = np.frombuffer(index, "<i8"), np.frombuffer(times, "<i8")
        if codec == "raw":
            pixels = np.frombuffer(payload, dtype).reshape(n, height, width)
            return Batch(pixels, *numbers, epoch)
        if codec not in CODECS:
            raise RunError(f"a recorded batch has the codec {codec!r:.40}")
        words = np.frombuffer(payload, "<u8")
        kind = EventBatch if codec == "events" else PackedBatch
        return kind(words, *numbers, (height, width), dtype, epoch)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"a recorded batch cannot be read: {error}") from error


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")
