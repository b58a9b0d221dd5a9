"""Centre, distortion, descan, scan rotation and camera length from a scan itself.

The beam is found in sums over neighbouring positions of the first rows; the rotation
comes from the centre of mass of each frame. All that is kept are integer-exact sums, so
that neither batches nor workers matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.calibrated import Positive
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import com as com_kernels
from scopeside_processors.kernels import sum as sum_kernels
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem import findings
from scopeside_processors.stem.beam import Beam, find_beam
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.com import centre_of_mass
from scopeside_processors.stem.crystals import Crystal, scattering_angles, spacings_m
from scopeside_processors.stem.frames import check_frames, overflows
from scopeside_processors.stem.rotation import Rotation, find_rotation
from scopeside_processors.stem.tiles import Tiles
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Rows = Annotated[int, Field(ge=1)] | Literal["all"]

FRAMES_OF_A_MOVIE = 256
"""Without a scan, so many frames stand in for the first rows."""
NAMES = ("centre", "radius", "ellipse", "descan", "rotation", "rad_per_px")
_REASONS = ("no counts", "a pixel that is no number")
_TOO_LARGE = "pixels too large for exact sums of 64 bits"


class Calibrate:
    """Measures what the other processors have to know of the scan and the camera."""

    order: ClassVar[Order] = Order.ANY

    class Params(params.Params):
        """Which frames are used, and what is known of the specimen."""

        rows: Rows = 4
        """Rows of the scan in which the beam is looked for; 'all' for a vacuum scan.
        Of a list of positions, as many frames as that, in the order of visit."""
        rotation_rows: Rows = "all"
        """Rows of the scan from whose centres of mass the rotation comes."""
        flip: bool | None = None
        """Whether the camera's rows run the other way; none: it is found out."""
        ring: Crystal | None = None
        """Crystal whose rings give the angle per pixel: 'Au', 'Ag', 'Al' or 'Pt'."""
        ring_d_m: tuple[Positive, ...] = ()
        """Distances of the planes of its rings, metres, for any other crystal."""

        @model_validator(mode="after")
        def _rings_are_said_once(self) -> Self:
            if self.ring is not None and self.ring_d_m:
                raise ValueError("set ring or ring_d_m, not both")
            return self

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            com_kernels.warm(dtype)
            sum_kernels.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        self._acquisition, self._params = acquisition, params
        self._known = Calibration.of(acquisition)
        self._angles = self._ring_angles()
        self._rows = self._count_rows(params.rows)
        self._tiles = Tiles(acquisition, self._tiled_rows())
        self._seen = FrameValues(
            acquisition,
            {"total": (1, sum_type(acquisition.dtype)), "com": (2, np.float64)},
            _REASONS,
        )
        self._first, self._last = -1, -1  # of the frames in the tiles
        self._overflowed = False
        self._beam: tuple[int, Beam] | None = None  # found in so many frames

    def process(self, batch: Batch) -> None:
        """Take in those frames of `batch` that are used.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        tiled = self._wanted(batch.index, self._rows)
        turned = self._wanted(batch.index, self._count_rows(self._params.rotation_rows))
        self._overflowed |= overflows(batch.pixels)
        self._take_patterns(batch, tiled)
        if self._acquisition.scan is not None:
            self._take_centres(batch, turned)

    def merge(self, other: Self) -> None:
        """Take over the frames that `other` has seen."""
        self._overflowed |= other._overflowed
        self._tiles.merge(other._tiles)
        self._seen.merge(other._seen)
        self._stands_on(other._first, other._last)

    def results(self) -> Iterator[Result]:
        """Yield what was measured, each with its uncertainty, and all as one table.

        ``centre`` (2,) and ``radius``, pixels; ``ellipse`` (2,), the ratio of the long
        to the short axis and the angle of the long one; ``descan`` (2, 3), pixels;
        ``rotation``, rad; ``rad_per_px`` (2,); ``calibration``, a mapping with the keys
        of the table of that name of an acquisition, those that were found.
        ``meta["sigma"]`` is the standard deviation, of the same shape.
        """
        if self._overflowed or not self._tiles.frames:
            reason = _TOO_LARGE if self._overflowed else "no frame of the first rows"
            for name in (*NAMES, "calibration"):
                yield invalid(name, reason, **self._account())
            return
        found = list(self._measured())
        yield from found
        yield findings.table({one.name: one for one in found}, self._account())

    def snapshot(self) -> bytes:
        """Return sums of tiles, and the centres of the frames."""
        return pack(
            {
                "tiles": self._tiles.snapshot(),
                "values": self._seen.snapshot(),
                "frames": [self._first, self._last],
                "overflowed": self._overflowed,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._tiles.restore(found["tiles"])
        self._seen.restore(found["values"])
        self._first, self._last = found["frames"]
        self._overflowed = found["overflowed"]

    # -- frames -------------------------------------------------------------------

    def _take_patterns(self, batch: Batch, wanted: Array) -> None:
        if not wanted.any():
            return
        index, frames = _those(wanted, batch.index, batch.pixels)
        scan = self._acquisition.scan
        places = np.zeros_like(index) if scan is None else scan.position_of(index)
        self._tiles.add(frames, places)
        self._stands_on(int(index.min()), int(index.max()))

    def _take_centres(self, batch: Batch, wanted: Array) -> None:
        if not wanted.any():
            return
        index, frames = _those(wanted, batch.index, batch.pixels)
        com, total = centre_of_mass(frames)
        broken = ~np.isfinite(total.astype(np.float64))
        flag = np.where(broken, 2, ~(total > 0)).astype(np.uint8)
        self._seen.add(index, flag, com=com, total=total[:, None])

    def _wanted(self, index: IntArray, rows: int) -> Array:
        """Return which frames are of the first `rows` of the first scan."""
        scan = self._acquisition.scan
        if scan is None:
            return (index >= 0) & (index < FRAMES_OF_A_MOVIE)
        place = scan.position_of(index)
        if scan.visited:
            first = index - scan.offset < rows * scan.shape[1]
            return (place >= 0) & (place < scan.positions) & first
        return (place >= 0) & (place < rows * scan.shape[1])

    def _count_rows(self, rows: int | str) -> int:
        scan = self._acquisition.scan
        if scan is None:
            return 0
        return scan.shape[0] if isinstance(rows, str) else min(rows, scan.shape[0])

    def _tiled_rows(self) -> int:
        scan = self._acquisition.scan
        # Listed positions may lie anywhere.
        return scan.shape[0] if scan is not None and scan.visited else self._rows

    def _expected(self) -> int:
        """Return how many frames the first rows have."""
        scan, frames = self._acquisition.scan, self._acquisition.frames
        if scan is None:
            return min(FRAMES_OF_A_MOVIE, frames or FRAMES_OF_A_MOVIE)
        return min(self._rows * scan.shape[1], scan.expected // scan.scans)

    def _stands_on(self, first: int, last: int) -> None:
        if first >= 0:
            self._first = first if self._first < 0 else min(self._first, first)
            self._last = max(self._last, last)

    def _account(self) -> dict[str, Any]:
        return {
            "frame": self._last,
            "first": self._first,
            "used": self._tiles.frames,
            "expected": self._expected(),
        }

    # -- quantities ---------------------------------------------------------------

    def _ring_angles(self) -> FloatArray | None:
        """Return the angles of the known rings, rising; None if there are none.

        Raises
        ------
        ConfigError
            If the energy of the electrons is not known.
        """
        ring, spacings = self._params.ring, self._params.ring_d_m
        if ring is None and not spacings:
            return None
        if ring is not None:
            spacings = spacings_m(ring)
        wavelength = self._known.wavelength_m("calibrate")
        ordered = tuple(sorted(spacings, reverse=True))
        return scattering_angles(ordered, wavelength)

    def _found(self) -> Beam:
        """Return the beam; it is looked for again only if there are more frames."""
        if self._beam is None or self._beam[0] != self._tiles.frames:
            found = find_beam(*self._tiles.patterns(), self._angles)
            self._beam = self._tiles.frames, found
        return self._beam[1]

    def _measured(self) -> Iterator[Result]:
        beam, stands_on = self._found(), self._account()
        known = self._known.known
        yield findings.centre(beam, stands_on)
        yield findings.radius(beam, stands_on)
        yield findings.ellipse(beam, stands_on)
        scan = self._acquisition.scan is not None
        yield findings.descan(beam, stands_on, scan=scan)
        yield findings.rotation(self._turned(beam), self._turned_account())
        yield findings.rad_per_px(beam, known.semi_angle_rad, stands_on)

    def _turned_account(self) -> dict[str, Any]:
        scan, stands_on = self._acquisition.scan, self._seen.account()
        if scan is not None:
            rows = self._count_rows(self._params.rotation_rows)
            every = scan.expected // scan.scans
            stands_on["expected"] = min(rows * scan.shape[1], every)
        return stands_on

    def _turned(self, beam: Beam) -> Rotation:
        scan = self._acquisition.scan
        if scan is None:
            return Rotation(reason="there is no scan")
        size = scan.shape[0] * scan.shape[1]
        com = self._seen.images("com").reshape(2, -1)[:, :size].T
        total = self._seen.images("total").reshape(-1)[:size].astype(np.float64)
        com = _without_hot(com, total, beam.hot, beam.hot_counts)
        step = self._known.known.scan_step_m or (1.0, 1.0)
        flip = self._params.flip
        return find_rotation(com.reshape(*scan.shape, 2), step, flip=flip)


def _those(wanted: Array, index: IntArray, frames: Array) -> tuple[IntArray, Array]:
    """Return the frames that are wanted; a view where it can be one."""
    at = np.flatnonzero(wanted)
    if at[-1] - at[0] == len(at) - 1:
        part = slice(int(at[0]), int(at[-1]) + 1)
        return index[part], frames[part]
    return index[at], frames[at]


def _without_hot(
    com: FloatArray, total: FloatArray, hot: Array, counts: FloatArray
) -> FloatArray:
    """Return centres of mass (n, 2) without what hot pixels add on the average."""
    at = np.argwhere(hot).astype(np.float64)
    moment = com * total[:, None] - counts @ at
    rest = total - counts.sum()
    found: FloatArray = moment / np.where(rest > 0, rest, np.nan)[:, None]
    return found
