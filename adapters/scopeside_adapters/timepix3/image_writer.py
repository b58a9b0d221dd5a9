"""Images as the simulator sends them, each known from its number alone."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np

from scopeside_adapters.timepix3.tables import Array

Format = Literal["jsonimage", "pgm"]


def image_of(seed: int, number: int, shape: tuple[int, int], hits: float) -> Array:
    """Return image `number`: `hits` counts on average, uint16."""
    random = np.random.default_rng([seed, number])
    pixels = shape[0] * shape[1]
    where = random.integers(0, pixels, random.poisson(hits))
    counts = np.bincount(where, minlength=pixels)
    return counts.astype(np.uint16).reshape(shape)


def message(form: Format, pixels: Array, number: int, time_s: float) -> bytes:
    """Return an image as it is sent."""
    if form == "jsonimage":
        return jsonimage(pixels, frameNumber=number, timeAtFrame=time_s, thresholdID=0)
    return pgm(pixels)


def jsonimage(pixels: Array, **said: Any) -> bytes:
    """Return an image behind a line of JSON that says `said` too."""
    height, width = pixels.shape
    about = {
        "width": width,
        "height": height,
        "pixelFormat": pixels.dtype.name,
        "integrationSize": 1,
        **said,
    }
    return json.dumps(about).encode() + b"\n" + _big_endian(pixels)


def pgm(pixels: Array) -> bytes:
    """Return an image as pgm."""
    height, width = pixels.shape
    most = np.iinfo(pixels.dtype).max
    return b"P5\n%d %d\n%d\n" % (width, height, most) + _big_endian(pixels)


def _big_endian(pixels: Array) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
