"""Sums and first moments over labelled pixels of frames on a GPU.

``labels.cu`` says how it goes; here the labels are cut up for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.device.card import Memory
from scopeside.device.lanes import CardFrames, Lanes, Loan
from scopeside_processors.kernels.com import Region
from scopeside_processors.kernels.cuda import source_of
from scopeside_processors.kernels.virtual import Runs

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

CHUNK = 16
"""Bytes that a lane loads at once."""
_LANES = 32
_BLOCK = 256
_LONGEST = 16
"""Rounds in a task at most; fewer where a frame is small, so that no warp is idle."""
_SHARES = 32
_TOGETHER = 4
"""Frames that a block takes at once where there are many."""
_MOST = 1 << 16
"""Rows, and different masks, that an item can name."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Labelled pixels cut up for the kernel.

    Attributes
    ----------
    items
        (rounds, 32, 2) uint32: a chunk; its row and, times 65536, which of `masks`.
    masks
        (m, 16) uint8: 255 in each byte of a pixel that counts. The first is empty.
    tasks, labels
        int32: where in the rounds each task begins, and in the tasks each label; one
        more for the end.
    """

    items: npt.NDArray[np.uint32]
    masks: npt.NDArray[np.uint8]
    tasks: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]


def fits(shape: tuple[int, int]) -> bool:
    """Return whether frames of ``shape (height, width)`` can be cut up."""
    return shape[0] <= _MOST and shape[0] * shape[1] < 1 << 31


def labels_of_runs(runs: Runs, shape: tuple[int, int]) -> IntArray:
    """Return the label of each pixel in a run, (height, width); -1 elsewhere."""
    row, first, stop, label = runs.runs.T
    length = stop - first
    before = np.cumsum(length) - length
    pixel = np.repeat(row * shape[1] + first - before, length)
    found = np.full(shape, -1, np.int64)
    found.reshape(-1)[pixel + np.arange(len(pixel))] = np.repeat(label, length)
    return found


def labels_of_region(region: Region, shape: tuple[int, int]) -> IntArray:
    """Return 0 for each pixel of a region, (height, width); -1 elsewhere."""
    found = np.full(shape, -1, np.int64)
    for group, (begin, end) in enumerate(
        zip(region.bounds[:-1], region.bounds[1:], strict=True)
    ):
        for row, first, stop in region.parts[begin:end]:
            found[row : row + 2 - group % 2, first:stop] = 0
    return found


def table_of(label: IntArray, labels: int, itemsize: int) -> Table:
    """Cut up frames by ``label (height, width)``; -1 is for pixels that do not count.

    Parameters
    ----------
    labels : how many there are; some may have no pixel
    itemsize : of a pixel, bytes
    """
    width = label.shape[1]
    per_chunk = CHUNK // itemsize
    pixel = np.flatnonzero(label >= 0)
    which, chunk, row = label.reshape(-1)[pixel], pixel // per_chunk, pixel // width
    # One item for each label, chunk and row, in this order.
    chunks, rows = label.size // per_chunk + 1, per_chunk // width + 2
    below = row - chunk * per_chunk // width
    key = (which * chunks + chunk) * rows + below
    found, first, item = np.unique(key, return_index=True, return_inverse=True)
    bits = np.bincount(item, 2.0 ** (pixel % per_chunk), len(found)).astype(np.int64)
    few, mask = np.unique(np.append(0, bits), return_inverse=True)
    items = np.stack([chunk[first], row[first], mask[1:]])
    return _padded(which[first], labels, items, _bytes(few, per_chunk))


def _bytes(bits: IntArray, per_chunk: int) -> npt.NDArray[np.uint8]:
    """Return masks with a bit for each pixel as masks for the bytes of a chunk."""
    held = (bits[:, None] >> np.arange(per_chunk)) & 1
    return np.repeat(held.astype(np.uint8) * np.uint8(255), CHUNK // per_chunk, axis=1)


def _padded(
    label: IntArray, labels: int, items: IntArray, masks: npt.NDArray[np.uint8]
) -> Table:
    """Fill the last round of each label up with items that hold nothing.

    ``items (3, m)``: chunk, row and mask, by label.
    """
    chunk, row, mask = items
    assert len(masks) <= _MOST
    assert row.max(initial=0) < _MOST
    count = np.bincount(label, minlength=labels)
    rounds = -(-count // _LANES)
    begin = np.cumsum(rounds) - rounds
    rank = np.arange(len(label)) - (np.cumsum(count) - count)[label]
    filled = np.zeros((int(rounds.sum()) * _LANES, 2), np.uint32)
    filled[begin[label] * _LANES + rank] = np.stack([chunk, row | mask << 16], axis=1)
    length = int(np.clip(rounds.sum() // _SHARES, 1, _LONGEST))
    shares = -(-rounds // length)
    tasks = np.repeat(begin - (np.cumsum(shares) - shares) * length, shares)
    tasks = tasks + np.arange(len(tasks)) * length
    return Table(
        filled.reshape(-1, _LANES, 2),
        masks,
        np.append(tasks, rounds.sum()).astype(np.int32),
        np.append(0, np.cumsum(shares)).astype(np.int32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class CardTable:
    """A table in a card's memory."""

    items: Loan[Memory]
    masks: Loan[Memory]
    tasks: Loan[Memory]
    labels: Loan[Memory]
    n_tasks: int
    n_labels: int


def on_card(lanes: Lanes, table: Table) -> CardTable:
    """Return a table in the memory of a card."""
    return CardTable(
        lanes.upload(table.items),
        lanes.upload(table.masks),
        lanes.upload(table.tasks),
        lanes.upload(table.labels),
        len(table.tasks) - 1,
        len(table.labels) - 1,
    )


def compile_all(lanes: Lanes) -> None:
    """Have the kernels compiled now."""
    for code in ("u1", "u2"):
        for name in ("counts", "moments"):
            for together in (1, _TOGETHER):
                lanes.card.kernel(source_of("labels"), f"{name}_{code}_{together}")


def launch(
    frames: CardFrames, table: CardTable, *, moments: bool
) -> Callable[[], Array]:
    """Sum frames over labels.

    Returns
    -------
    callable
        To be called when the lanes have settled; gives (n, labels) int64 or, of
        floats, float64. With moments (n, labels, 5) int64: counts, the upper halves of
        counts times row and counts times column, and their lower halves, 32 bits; of
        floats (n, labels, 3) float64: counts, times row, times column. Integers are
        exact; floats do not depend on the batch.
    """
    lanes, pixels = frames.lanes, frames.batch.pixels
    n, floats = len(frames), pixels.dtype.kind == "f"
    columns = (3 if floats else 5) if moments else 1
    shape = (n, table.n_labels, columns) if moments else (n, table.n_labels)
    parts = lanes.room(max(1, n * table.n_tasks * 3 * 8))
    out = lanes.room(max(1, n * table.n_labels * columns * 8))
    many = n >= 2 * _TOGETHER * lanes.card.processors
    together = _TOGETHER if many else 1
    name = f"{'moments' if moments else 'counts'}_{pixels.dtype.str[1:]}_{together}"
    lanes.run(
        source_of("labels"),
        name,
        (-(-n // together), 1),
        _BLOCK,
        (
            np.uint64(frames.address),
            np.uint64(frames.pitch),
            np.int32(n),
            np.int32(pixels.shape[2]),
            np.uint64(table.items.what.address),
            np.uint64(table.masks.what.address),
            np.uint64(table.tasks.what.address),
            np.int32(table.n_tasks),
            np.uint64(table.labels.what.address),
            np.int32(table.n_labels),
            np.uint64(parts.what.address),
            np.uint64(out.what.address),
        ),
    )
    brought = lanes.bring(out, shape, np.float64 if floats else np.int64)

    def found() -> Array:
        assert parts is not None  # lent until here
        return brought()

    return found
