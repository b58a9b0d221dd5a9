"""What the lattices of a scan are compared with: one that was said, or a region's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside_processors.stem.lattice import strain_of, to_basis_of

FloatArray = npt.NDArray[np.float64]
Vectors = tuple[tuple[float, float], tuple[float, float]]
Region = tuple[int, int, int, int]


def check_vectors(key: str, vectors: Vectors | None) -> None:
    """Refuse vectors that are no basis of a lattice.

    Raises
    ------
    ValueError
        If they are in line.
    """
    if vectors is not None:
        sizes = np.linalg.norm(vectors, axis=1)
        if abs(np.linalg.det(vectors)) < 0.05 * sizes.prod():
            raise ValueError(f"{key}: its two vectors are in line")


def check_region(region: Region | None, acquisition: Acquisition) -> None:
    """Refuse a region ``[y0, x0, y1, x1]`` that no scan has.

    Raises
    ------
    ConfigError
        If there is no scan, or the region lies beyond it.
    """
    if region is None:
        return
    if acquisition.scan is None:
        raise ConfigError("strain: reference is a region of a scan; there is none")
    rows, columns = acquisition.scan.result_shape[-2:]
    if region[2] > rows or region[3] > columns:
        raise ConfigError(
            f"strain: reference = {list(region)} lies beyond the scan of {rows} rows "
            f"and {columns} columns"
        )


def compared(
    lattices: FloatArray,
    good: npt.NDArray[np.bool_],
    basis: FloatArray,
    said: Vectors | None,
    region: Region | None,
) -> tuple[FloatArray, FloatArray] | str:
    """Return the strain of lattices, and what they were compared with.

    Parameters
    ----------
    lattices : (…, 2, 2), pixels; `good` (…) is True where there is one
    basis : (2, 2), the lattice around which they were found
    said : the reference lattice; None: the median over `region`, or over all

    Returns
    -------
    (…, 4) and (2, 2) float64, or why there are none
        See `lattice.strain_of`. A reference in another basis of the same lattice will
        do.
    """
    if said is None:
        place: tuple[Any, ...] = (...,)
        if region is not None:
            y0, x0, y1, x1 = region
            place = (..., slice(y0, y1), slice(x0, x1))
        chosen = lattices[(*place, slice(None), slice(None))][good[place]]
        if not len(chosen):
            where = "" if region is None else f" {list(region)}"
            return f"no lattice in the reference region{where}"
        reference: FloatArray = np.median(chosen, axis=0)
        return strain_of(lattices, reference), reference
    reference = np.array(said, np.float64)
    turn = to_basis_of(reference, basis)
    if turn is None:
        seen = basis.round(2).tolist()
        return f"the lattice found, {seen}, is not near reference_lattice"
    return strain_of(turn @ lattices, reference), reference
