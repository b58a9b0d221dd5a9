"""Single pictures (PNG, JPEG, TIFF) and folders of them, one file a frame."""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import (
    Array,
    Facts,
    FrameLostError,
    Frames,
    one_channel,
    pixel_dtype,
)
from scopeside_adapters.file.tiff import load_tiff

log = logging.getLogger(__name__)

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def open_picture(path: Path) -> Frames:
    """Open one picture as a series of one frame."""
    return PictureFrames([path], path.suffix.lstrip(".").upper())


def open_folder(folder: Path, key: str | None) -> Frames:
    """Open the pictures of a folder in natural order (2 before 10).

    `key` is a pattern such as ``frame*.tif``, needed where the folder holds
    pictures of several formats.
    """
    suffixes = TIFF_SUFFIXES | PICTURE_SUFFIXES
    pictures = [
        path
        for path in folder.glob(key or "*")
        if path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not pictures:
        raise SourceError(
            f"it holds no {', '.join(sorted(suffixes))} files"
            + (f" that match key = {key!r}" if key else "")
        )
    found = Counter(path.suffix for path in pictures)
    if len(found) > 1:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in sorted(found.items()))
        raise SourceError(f'it holds {listed}; choose with key, such as "*.tif"')
    pictures.sort(key=natural_order)
    return PictureFrames(pictures, f"folder of {next(iter(found))}")


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``frame2`` before ``frame10``."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


class PictureFrames(Frames):
    """Frames of one file each; all as large and deep as the first."""

    def __init__(self, paths: list[Path], name: str) -> None:
        image = load_picture(paths[0])
        super().__init__(
            Facts(
                frame_shape=(image.shape[0], image.shape[1]),
                dtype=pixel_dtype(image.dtype),
                count=len(paths),
                expected=len(paths),
                metadata={"format": name},
            )
        )
        self._paths = paths

    def read_into(self, first: int, out: Array) -> None:
        """Decode one file after another."""
        for i in range(len(out)):
            path = self._paths[first + i]
            try:
                image = load_picture(path)
                self._compare(path, image.shape, pixel_dtype(image.dtype))
            except SourceError as error:
                raise FrameLostError(str(error), frame=first + i) from error
            np.copyto(out[i], image, casting="safe")

    def problems(self) -> list[str]:
        """Name the first picture that differs, of a large folder by samples."""
        step = max(1, len(self._paths) // 100)
        for path in self._paths[1::step]:
            try:
                image = load_picture(path)
            except SourceError as error:  # those before it can be played
                log.warning("%s", error)
                return []
            try:
                self._compare(path, image.shape, pixel_dtype(image.dtype))
            except SourceError as error:
                return [str(error)]
        return []

    def _compare(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        facts = self.facts
        if shape != facts.frame_shape or dtype != facts.dtype:
            raise SourceError(
                f"{path.name} has {_spelled(shape, dtype)}; expected "
                f"{_spelled(facts.frame_shape, facts.dtype)} as {self._paths[0].name}"
            )


def load_picture(path: Path) -> Array:
    """Return the only picture of a file, (height, width).

    Raises
    ------
    SourceError
        If it cannot be read, holds several pictures, or is in colour.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            image = load_tiff(path)
        else:
            image = _decode(path)
    except SourceError as error:
        raise SourceError(f"{path.name}: {error}") from error
    except Exception as error:  # decoders raise whatever a damaged file leads to
        raise SourceError(f"cannot read {path.name}: {error}") from error
    return image


def _decode(path: Path) -> Array:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with iio.imopen(path, "r", plugin="pillow") as picture:
            image = one_channel(np.asarray(picture.read(index=0)))
    for warning in caught:
        log.debug("%s: %s", path, warning.message)
    return image


def _spelled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' × '.join(map(str, shape))} pixels of {dtype}"
