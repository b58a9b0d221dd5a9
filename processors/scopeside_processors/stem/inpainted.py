"""Images of a sparse scan as results that nobody takes for data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result
from scopeside_processors.kernels import inpaint as kernels
from scopeside_processors.stem.inpaint import REACH, inpaint

Array = npt.NDArray[Any]

INPAINTED = "_inpainted"
"""What the name of such a result ends with."""


class Inpainted:
    """Fills in images of a scan, each again only after new positions have come."""

    def __init__(self) -> None:
        kernels.warm()
        self._filled: dict[str, tuple[int, Array]] = {}

    def of(self, image: Result) -> Result:
        """Return an image of a scan with its gaps filled in.

        Parameters
        ----------
        image : (…, rows, columns), `mask` says where it was measured

        Returns
        -------
        Result
            ``<name>_inpainted``, float64: measured values as they are; NaN in gaps
            that are too wide. `mask` is still where it was measured, and
            ``meta["inpainted"]`` the part of the positions that is filled in.
        """
        used, filled = self._filled.get(image.name, (-1, np.empty(0)))
        if used != image.used:
            filled = _filled(image.data, image.mask)
            self._filled[image.name] = image.used, filled
        invented = np.isfinite(filled)
        if image.mask is None:
            invented[...] = False
        else:
            invented &= ~image.mask
        meta = {
            **image.meta,
            "inpainted": float(np.count_nonzero(invented) / max(invented.size, 1)),
            "method": "biharmonic",
            "reach": REACH,
        }
        return replace(
            image, name=image.name + INPAINTED, data=filled.copy(), meta=meta
        )


def _filled(image: Array, mask: Array | None) -> Array:
    if mask is None:
        return image.astype(np.float64)
    rows, columns = image.shape[-2:]
    filled = np.empty((image.size // (rows * columns), rows, columns))
    for one, pixels, seen in zip(
        filled,
        image.reshape(filled.shape),
        mask.reshape(filled.shape),
        strict=True,
    ):
        one[...] = inpaint(pixels, seen)
    return filled.reshape(image.shape)
