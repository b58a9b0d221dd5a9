"""The sums over the side bands of a scan, row by row, and the image they make.

The transform along y of the positions of one row is a factor for each frequency.
So a row is transformed along x once, summed over the lenses of all frequencies once,
and added; frames of the past are not kept [1]_.

References
----------
.. [1] A. Strauch et al., Microscopy and Microanalysis 27, 1078-1092 (2021),
   doi:10.1017/S1431927621012423
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from scopeside_processors.kernels import ssb as kernels
from scopeside_processors.stem.overlaps import Cells, Overlaps
from scopeside_processors.stem.trotters import Trotters

ComplexArray = npt.NDArray[np.complex128]
FloatArray = npt.NDArray[np.float64]

_TABLES = ("sums", "base", "pattern", "turns")


class SideBands:
    """The sums over the lenses of each frequency, and what the rows have in common.

    They are added in float64. The parts that belong to a row are float32: the phase
    then differs from that of an evaluation in float64 by less than 1e-5 rad.

    Attributes
    ----------
    rows
        Number of rows that were added.
    counts
        In the disk of all their positions.
    """

    def __init__(self, overlaps: Overlaps, cells: Cells, trotters: Trotters) -> None:
        self._overlaps, self._cells, self._trotters = overlaps, cells, trotters
        n = len(overlaps.frequencies)
        self._sums = np.zeros((n, 2), np.complex128)
        self._base = np.zeros((n, 2), np.complex128)
        self._pattern = np.zeros(1 + cells.count)
        self._turns = np.zeros(overlaps.scan_shape[0], np.complex128)
        self._mixed = False
        self._since = 0
        self.rows = 0
        self.counts = 0.0

    def add(
        self, line: int, pixels: npt.NDArray[np.float32], good: npt.NDArray[np.bool_]
    ) -> bool:
        """Add a row of the scan; return whether there was a good position in it.

        Parameters
        ----------
        line : which row
        pixels : (columns, 1 + cells) float32, column 0 is 0; written over
        good : (columns,), where it is False the mean of the others is taken
        """
        if not kernels.fill(pixels, good):
            return False
        self.counts += float(pixels[:, 1:].sum(dtype=np.float64))
        if not self._trotters.weighted:
            kernels.sum_along(pixels, self._cells.rows)
        spectrum = fft.rfft(pixels, axis=0)
        turn = self._turn(line)
        self._pattern += spectrum[0].real
        self._turns += turn
        self._since += 1
        self.rows += 1
        self._contract(spectrum, turn, self._sums, self._trotters.columns)
        return True

    def change(self, trotters: Trotters) -> None:
        """Sum the rows to come over other lenses; those that were added stay."""
        if self._since:
            self._base = self._settled(whole=False)
            self._mixed = True
        self._trotters = trotters
        for table in (self._sums, self._pattern, self._turns):
            table[:] = 0
        self._since = 0

    def object(self) -> npt.NDArray[np.complex64]:
        """Return the transmission, (rows, columns), 1 where there is nothing.

        Rows that were not added are of no meaning.
        """
        rows, columns = shape = self._overlaps.scan_shape
        found = self._settled(whole=self.rows == rows and not self._mixed)
        ky, kx = self._overlaps.frequencies.T
        full = np.zeros(shape, np.complex128)
        full[ky % rows, kx] = found[:, 0]
        full[-ky % rows, -kx % columns] = found[:, 1].conj()
        mean = self.counts / (self.rows * columns * self._cells.energy)
        full /= mean
        image = fft.ifft2(full.astype(np.complex64), overwrite_x=True)
        image += 1
        out: npt.NDArray[np.complex64] = image
        return out

    def copy(self) -> SideBands:
        """Return the same sums, to be looked at later."""
        new = copy(self)
        for name in _TABLES:
            setattr(new, f"_{name}", getattr(self, f"_{name}").copy())
        return new

    def snapshot(self) -> dict[str, Any]:
        """Return the sums, for `scopeside.state.pack`."""
        tables = {name: getattr(self, f"_{name}") for name in _TABLES}
        if not self._mixed:
            del tables["base"]
        numbers = [self._mixed, self._since, self.rows, self.counts]
        return {**tables, "numbers": numbers}

    def restore(self, found: dict[str, Any]) -> None:
        """Take over what `snapshot` gave, with the same lenses; only on a new one."""
        for name in _TABLES:
            if name in found:
                getattr(self, f"_{name}")[:] = found[name]
        self._mixed, self._since, self.rows, self.counts = found["numbers"]

    def _turn(self, line: int) -> ComplexArray:
        """Return the factor of a row by frequency along y, (rows,)."""
        rows = self._overlaps.scan_shape[0]
        turn: ComplexArray = np.exp(
            -2j * np.pi / rows * (np.arange(rows) * line % rows)
        )
        return turn

    def _contract(
        self, spectrum: Any, turn: ComplexArray, out: ComplexArray, columns: Any
    ) -> None:
        held = self._trotters
        if held.weighted:
            kernels.add_weighed(
                np.ascontiguousarray(spectrum.real),
                np.ascontiguousarray(spectrum.imag),
                columns,
                held.lines,
                turn,
                held.runs,
                held.bounds,
                held.weights[0],
                held.weights[1],
                out,
            )
        else:
            kernels.add_lenses(
                spectrum, columns, held.lines, turn, held.edges, held.edge_bounds, out
            )

    def _settled(self, *, whole: bool) -> ComplexArray:
        """Return O(Q) and O*(-Q), (q, 2).

        A scan that ends in the middle has an edge, where all the light ends. It would
        be seen at kx = 0 in any lens that is not quite even; so the mean pattern is
        taken off the rows. In a `whole` scan it has no part in these frequencies.
        """
        sums = self._sums
        if not whole and self._since:
            first = self._trotters.columns[:2]
            edge = np.zeros((int(first[1]), 2), np.complex128)
            mean = (self._pattern / self._since).astype(np.complex64)
            self._contract(mean[None], self._turns, edge, first)
            sums = sums.copy()
            sums[: len(edge)] -= edge
        found: ComplexArray = (
            self._base + (self._trotters.inverse @ sums[..., None])[..., 0]
        )
        return found
