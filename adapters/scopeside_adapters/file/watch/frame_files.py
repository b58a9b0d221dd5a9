"""Files that hold one frame each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.frames import Array, Frames, pixel_dtype
from scopeside_adapters.file.images import PICTURE_SUFFIXES, TIFF_SUFFIXES, load_picture
from scopeside_adapters.file.raw import RawLayout
from scopeside_adapters.file.strided import Strided
from scopeside_adapters.file.watch.growing import StridedFile
from scopeside_adapters.file.watch.opening import GROWING_SUFFIXES, strided_layout

FRAME_SUFFIXES = frozenset(
    {*GROWING_SUFFIXES, *PICTURE_SUFFIXES, ".dm3", ".dm4", ".emd", ".ser"}
)


def load_frame(path: Path, key: str | None, raw: RawLayout | None) -> Array:
    """Return the only frame of a file, (height, width), little endian.

    Raises
    ------
    SourceError
        If it cannot be opened as a whole, or holds several frames.
    MissingExtraError
        If its format needs a library that is not installed.
    """
    layout = strided_layout(path, raw)
    if layout is not None:
        return _read_only_record(path, layout)
    if path.suffix.lower() in TIFF_SUFFIXES | PICTURE_SUFFIXES:
        image = load_picture(path)
        return image.astype(pixel_dtype(image.dtype), copy=False)
    with open_frames(path, key) as frames:
        return _only(frames)


def _read_only_record(path: Path, layout: Strided) -> Array:
    with StridedFile(path, layout) as file:
        if (count := file.count()) != 1:
            raise SourceError(f"it holds {count} whole frames, expected one a file")
        if leftover := file.leftover():
            raise SourceError(leftover)
        out = np.empty((1, *file.facts.frame_shape), file.facts.dtype)
        file.read_into(0, out)
    image: Array = out[0]
    return image


def _only(frames: Frames) -> Array:
    facts = frames.facts
    if facts.count != 1 or facts.missing:
        raise SourceError(facts.missing or f"it holds {facts.count} frames, not one")
    out = np.empty((1, *facts.frame_shape), facts.dtype)
    frames.read_into(0, out)
    image: Array = out[0]
    return image
