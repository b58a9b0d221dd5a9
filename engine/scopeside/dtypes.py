"""Reads a dtype that somebody else has written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_PLAIN = re.compile(r"[<>|=]?[bBhHiIlLqQefdgmMVSUO?uc]\d{0,2}(\[\w+\])?|[a-z]+\d{0,3}")


def dtype_of(text: Any) -> np.dtype[Any]:
    """Return the dtype that `text` names, such as ``<u2``.

    numpy takes a whole language of records and comma lists here, and answers what is
    none of it with any error, syntax errors of Python among them.

    Raises
    ------
    ValueError
        If it is no plain dtype.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no dtype of numbers, such as '<u2'")
    try:
        return np.dtype(text)
    except TypeError as error:
        raise ValueError(f"{text!r:.40} is no dtype: {error}") from error
