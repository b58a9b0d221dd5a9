"""Where the image of each message lies and what it is: one row of numbers a message.

Both streams are read into such rows by a compiled loop; what the loop does not know
it leaves to the careful reader of its stream (`CAREFULLY`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

# Columns.
KIND = 0
SERIES = 1
NUMBER = 2
START_NS = 3
"""Start of the exposure after that of the series, ns; -1 where it is not said."""
HEIGHT = 4
WIDTH = 5
ITEM = 6
"""Bytes of a pixel; negative where they are big endian."""
CODEC = 7
ELEMENT = 8
"""Bytes of an element as the codec shuffled them."""
AT = 9
"""Where the pixels begin in the parcel, bytes."""
SIZE = 10
"""How many bytes they have, compressed."""
COLUMNS = 11

# Kinds.
IMAGE = 0
CAREFULLY = 1
"""It may be anything: the careful reader looks at it."""
OTHER = 2
"""A start, an end, or another message that is no image."""
WRONG = 3
"""It cannot be an image; the careful reader says why."""

# Codecs.
RAW = 0
BSLZ4 = 1
LZ4_FRAMED = 2
LZ4_BARE = 3

MOST_PIXELS = 1 << 16
"""Along one side; the largest detector has 4371."""


def new_rows(messages: int) -> Rows:
    """Return rows to be filled."""
    return np.zeros((messages, COLUMNS), np.int64)


def row_of(**values: Any) -> Rows:
    """Return one row from its columns by name, such as ``number=3``."""
    row = np.zeros(COLUMNS, np.int64)
    for name, value in values.items():
        row[globals()[name.upper()]] = value
    return row
