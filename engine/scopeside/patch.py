"""Patches: of a result that grows, only what has changed since the last time.

While a scan runs, an image of megabytes changes by a few positions from one
publication to the next. A subscriber that holds the last whole one needs only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ProtocolError
from scopeside.publication import from_header
from scopeside.result import Result
from scopeside.wire import Buffer

MARK = b"~"
"""What the topics of patches begin with."""
SMALLEST = 1 << 15
"""Below so many bytes a result is always sent whole."""

Array = npt.NDArray[Any]
Range = tuple[int, int]


def changed(before: Result, after: Result) -> Range | None:
    """Return which values differ, as a range of the flat array; None: send it whole.

    A patch that is more than half of the whole is none.
    """
    old, new = before.data, after.data
    if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray):
        return None
    if old.shape != new.shape or old.dtype != new.dtype or new.nbytes < SMALLEST:
        return None
    differs = _flat(old) != _flat(new)
    if (before.mask is None) != (after.mask is None):
        return None
    if before.mask is not None and after.mask is not None:
        if before.mask.shape != new.shape or after.mask.shape != new.shape:
            return None
        differs |= before.mask.reshape(-1) != after.mask.reshape(-1)
    if not differs.any():
        return 0, 0
    first = int(differs.argmax())
    stop = len(differs) - int(differs[::-1].argmax())
    return (first, stop) if 2 * (stop - first) < new.size else None


def cut(result: Result, where: Range) -> list[Buffer]:
    """Return the payload of a patch: the values, and the mask if there is one."""
    first, stop = where
    data = np.ascontiguousarray(result.data).reshape(-1)[first:stop]
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    payload: list[Buffer] = [little.tobytes()]
    if result.mask is not None:
        payload.append(np.packbits(result.mask.reshape(-1)[first:stop]).tobytes())
    return payload


@dataclass(frozen=True, slots=True)
class Whole:
    """The last state of one topic at a subscriber."""

    run: str
    seq: int
    patches: int
    result: Result

    def patched(self, header: Mapping[str, Any], payload: Sequence[Any]) -> Whole:
        """Return what a patch makes of it.

        Raises
        ------
        ProtocolError
            If header and payload are no patch of it.
        """
        bare = from_header({**header, "value": None, "dtype": None}, [])
        try:
            first, stop = header["patch"]
            data = self.result.data.copy()
            piece = np.frombuffer(payload[0], data.dtype)
            if not 0 <= first <= stop <= data.size or len(piece) != stop - first:
                raise ValueError(f"{len(piece)} values for {first} to {stop}")
            data.reshape(-1)[first:stop] = piece
            mask = self.result.mask
            if mask is not None:
                mask = mask.copy()
                bits = np.unpackbits(np.frombuffer(payload[1], np.uint8))
                mask.reshape(-1)[first:stop] = bits[: stop - first]
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ProtocolError(
                f"this is no patch: {type(error).__name__}: {error}",
                cause="wrong_header",
            ) from error
        result = replace(bare, data=data, mask=mask)
        return replace(self, patches=self.patches + 1, result=result)


def _flat(array: Array) -> Array:
    """Return values as integers of their size: NaN equals NaN, and 0.0 is not -0.0."""
    return array.reshape(-1).view(f"u{array.dtype.itemsize}")
