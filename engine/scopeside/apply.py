"""Runs one processor over frames that are already there, as a notebook does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition, Encoding, check_dtype
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.events import EventBatch
from scopeside.messages import validate
from scopeside.packed import AnyBatch, PackedBatch, SparseBatch
from scopeside.plugins import processor_class
from scopeside.processor import Order, Processor, take_of
from scopeside.result import Result
from scopeside.scan import Scan

Array = npt.NDArray[Any]

BATCH_BYTES = 1 << 20
"""Frames travel in batches of this size, as by default in a live chain."""

_ONE_KIND = "an iterable gives frames, events or packed frames, not a mixture"
_SCAN = ("scan", "pattern", "flyback")
_KNOWN = ("id", "kind", "frames", "detector", "started_ns", "metadata")


def apply(
    kind: str | type[Processor],
    frames: Array
    | Iterable[Array]
    | Iterable[Batch]
    | SparseBatch
    | Iterable[SparseBatch],
    acquisition: Acquisition | Mapping[str, Any] | None = None,
    **params: Any,
) -> Iterator[Result]:
    """Run one processor over `frames` and yield its results as they come.

    Parameters
    ----------
    kind
        A processor that is installed (``"virtual"``), ``"module:Class"``, or a class.
    frames : (n, height, width) or (rows, columns, height, width), or an iterable
        Counts. A four-dimensional array is a scan, by position; an iterable gives
        frames (height, width) or batches. Or an `EventBatch` or `PackedBatch`, or an
        iterable of them.
    acquisition
        What is known of it. A mapping may hold ``kind``, ``scan`` as [rows, columns],
        ``pattern``, ``flyback``, ``frames``, ``id``, ``detector``, ``started_ns``,
        ``metadata``; any other key is calibration, such as ``beam_energy_eV``. Shape
        and dtype are those of the frames. Time stamps follow ``frame_time_s`` in the
        calibration (of a batch: its own); without it they are 0.
    **params
        The processor's parameters, as in the pipeline file.

    Yields
    ------
    Result
        ORDERED processors are fed frame by frame and give the results of each; the
        others, KEYED ones too, give theirs at the end.

    Raises
    ------
    ConfigError
        If there is no such processor or a parameter is wrong; it names the key.
    ShapeError
        If the frames are none, or not those of the acquisition.
    """
    cls = processor_class(kind) if isinstance(kind, str) else kind
    name = kind if isinstance(kind, str) else kind.__name__
    checked = validate(cls.Params, params, where=name)
    source, known = _source(frames, acquisition)
    processor = cls(known, checked)
    ordered = cls.order is Order.ORDERED
    size = 1 if ordered else max(1, BATCH_BYTES // known.frame_bytes)
    if known.encoding != "frames":
        sparse = _checked_sparse(source, known)
        fed = _feed_sparse(processor, sparse, size, ordered=ordered)
    else:
        fed = _feed(processor, _batches(source, known, size))
    return _results(processor, fed, ordered=ordered)


def _results(
    processor: Processor, fed: Iterable[None], *, ordered: bool
) -> Iterator[Result]:
    """Yield what `processor` has to say, where `fed` feeds it batch by batch."""
    for _ in fed:
        if ordered:
            yield from processor.results()
    if not ordered:
        yield from processor.results()


def _feed(processor: Processor, batches: Iterable[Batch]) -> Iterator[None]:
    for batch in batches:
        processor.process(batch)
        yield


def _feed_sparse(
    processor: Processor, batches: Iterable[SparseBatch], size: int, *, ordered: bool
) -> Iterator[None]:
    """Feed events or packed frames as they are, or unpacked if need be."""
    for batch in batches:
        take = take_of(processor, batch)
        if take is None:
            frame = math.prod(batch.frame_shape) * batch.dtype.itemsize
            for _, frames in batch.portions(size * frame):
                processor.process(frames)
                yield
            continue
        for piece in batch.cut(1) if ordered else (batch,):
            take(piece)
            yield


def _source(
    frames: Any, said: Acquisition | Mapping[str, Any] | None
) -> tuple[Iterable[Array | AnyBatch], Acquisition]:
    """Return `frames` one after another, and the acquisition that they make."""
    if isinstance(frames, SparseBatch):
        return _stream([frames], said)
    if hasattr(frames, "shape") and hasattr(frames, "dtype"):
        shape = tuple(frames.shape)
        if len(shape) not in (3, 4):
            raise ShapeError(
                "frames are (n, height, width) or (rows, columns, height, width), "
                f"not {shape}"
            )
        scan = shape[:2] if len(shape) == 4 else None
        count = math.prod(shape[:-2])
        known = _acquisition(said, shape[-2:], frames.dtype, count, scan)
        return _blocks(frames, known), known
    if not isinstance(frames, Iterable):
        raise ShapeError(f"frames are an array or an iterable, not {frames!r:.80}")
    return _stream(frames, said)


def _blocks(array: Any, acquisition: Acquisition) -> Iterator[Batch]:
    """Yield an array piece by piece, so that a file's is never read as a whole."""
    step = 1 if array.ndim == 4 else max(1, BATCH_BYTES // acquisition.frame_bytes)
    first = 0
    for start in range(0, len(array), step):
        block = np.asarray(array[start : start + step])
        pixels = block.reshape(-1, *acquisition.frame_shape)
        yield _batch(pixels, first, acquisition)
        first += len(pixels)


def _stream(
    frames: Iterable[Any], said: Acquisition | Mapping[str, Any] | None
) -> tuple[Iterable[Array | AnyBatch], Acquisition]:
    """Look at the first of `frames` for shape and dtype."""
    every = iter(frames)
    first = next(every, None)
    if first is None:
        if not isinstance(said, Acquisition):
            raise ShapeError("there are no frames, and no acquisition says their shape")
        return (), said
    count = len(frames) if isinstance(frames, list | tuple) else None
    if isinstance(first, Batch):
        shape, dtype, count = first.pixels.shape[1:], first.pixels.dtype, None
    elif isinstance(first, SparseBatch):
        shape, dtype, count = first.frame_shape, first.dtype, None
    else:
        first = np.asarray(first)
        shape, dtype = first.shape, first.dtype
    found = _acquisition(said, shape, dtype, count)
    encoding: Encoding = "frames"
    if isinstance(first, SparseBatch):
        encoding = "events" if isinstance(first, EventBatch) else "packed"
    return itertools.chain([first], every), replace(found, encoding=encoding)


def _acquisition(
    said: Acquisition | Mapping[str, Any] | None,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    count: int | None,
    scan: tuple[int, int] | None = None,
) -> Acquisition:
    """Return what is said, with what the frames show; `scan` is theirs."""
    if len(shape) != 2:
        raise ShapeError(f"a frame is (height, width), not {shape}")
    if not isinstance(said, Acquisition):
        said = _from_words(said or {}, shape, check_dtype(dtype), count)
    if said.frame_shape != shape:
        raise ShapeError(f"frames are {shape}; the acquisition has {said.frame_shape}")
    found = replace(said, dtype=check_dtype(dtype))
    if scan is None:
        return found
    if found.scan is not None and found.scan.shape != scan:
        raise ShapeError(
            f"frames are a scan of {scan}; the acquisition has {found.scan.shape}"
        )
    # An array by position has no fly-back, and its rows all run the same way.
    return replace(found, scan=Scan(scan), frames=count)


def _from_words(
    said: Mapping[str, Any],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    count: int | None,
) -> Acquisition:
    values: dict[str, Any] = {
        "id": "apply",
        "kind": "scan4d" if said.get("scan") is not None else "movie",
        "frames": count,
        **{key: said[key] for key in _KNOWN if key in said},
        "shape": shape,
        "dtype": dtype.str,
    }
    if said.get("scan") is not None:
        values["scan"] = {key: said[key] for key in _SCAN[1:] if key in said}
        values["scan"]["shape"] = said["scan"]
        path = Acquisition.from_dict(values).scan
        assert path is not None
        values.setdefault("frames", path.frames)
    known = {*_KNOWN, *_SCAN, "calibration"}
    values["calibration"] = {
        **(said.get("calibration") or {}),
        **{key: value for key, value in said.items() if key not in known},
    }
    return Acquisition.from_dict(values)


def _batches(
    source: Iterable[Array | AnyBatch], acquisition: Acquisition, size: int
) -> Iterator[Batch]:
    """Yield `source` in batches of `size` frames or fewer."""
    for batch in _gathered(source, acquisition, size):
        yield from _cut(batch, acquisition, size)


def _gathered(
    source: Iterable[Array | AnyBatch], acquisition: Acquisition, size: int
) -> Iterator[Batch]:
    """Yield the batches of `source`, and its single frames put together."""
    first = 0
    frames: list[Array] = []
    for item in source:
        if isinstance(item, Batch):
            yield item
            continue
        if isinstance(item, SparseBatch):
            raise ShapeError(_ONE_KIND)
        # A copy, as whoever yields frames may use the same memory for the next.
        frames.append(_checked(np.array(item)[None], acquisition))
        if len(frames) == size:
            yield _batch(np.concatenate(frames), first, acquisition)
            first, frames = first + size, []
    if frames:
        yield _batch(np.concatenate(frames), first, acquisition)


def _batch(pixels: Array, first: int, acquisition: Acquisition) -> Batch:
    """Return `pixels` as the frames from `first` on, at their times."""
    index = np.arange(first, first + len(pixels), dtype=np.int64)
    step_ns = 1e9 * _frame_time(acquisition)
    began = acquisition.started_ns or 0
    return Batch(pixels, index, began + np.rint(index * step_ns).astype(np.int64))


def _cut(batch: Batch, acquisition: Acquisition, size: int) -> Iterator[Batch]:
    """Yield a batch in pieces as a live chain would have them: read-only, native."""
    for start in range(0, len(batch), size):
        part = slice(start, start + size)
        found = _checked(batch.pixels[part], acquisition)
        pixels = np.ascontiguousarray(found, acquisition.dtype).view()
        pixels.flags.writeable = False
        yield Batch(pixels, batch.index[part], batch.timestamp_ns[part], batch.epoch)


def _checked_sparse(
    source: Iterable[Array | AnyBatch], acquisition: Acquisition
) -> Iterator[SparseBatch]:
    """Yield `source` as long as it is what the first of it was."""
    said = acquisition.frame_shape, acquisition.dtype
    kind = EventBatch if acquisition.encoding == "events" else PackedBatch
    for item in source:
        if not isinstance(item, kind):
            raise ShapeError(_ONE_KIND)
        found = tuple(item.frame_shape), item.dtype.newbyteorder("<")
        if found != said:
            raise ShapeError(
                f"{acquisition.encoding} are of frames {said[0]} {said[1]}; some are "
                f"of {found[0]} {found[1]}"
            )
        yield item


def _checked(frames: Array, acquisition: Acquisition) -> Array:
    """Return `frames` (n, h, w) if they are what the first of them was."""
    found = frames.shape[1:], frames.dtype.newbyteorder("<")
    if found != (acquisition.frame_shape, acquisition.dtype):
        raise ShapeError(
            f"frames are {acquisition.frame_shape} {acquisition.dtype}; one is "
            f"{found[0]} {found[1]}"
        )
    return frames


def _frame_time(acquisition: Acquisition) -> float:
    """Return the time from frame to frame in s, 0 where nobody has said."""
    said = acquisition.calibration.get("frame_time_s", 0)
    if type(said) not in (int, float) or not 0 <= said < math.inf:
        raise ConfigError(f"frame_time_s is a number of seconds, not {said!r:.80}")
    return float(said)
