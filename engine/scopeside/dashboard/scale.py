"""How large a pixel is, of a scan and of a frame, as an acquisition's calibration says.

What nobody has said is None: then the page counts pixels, and invents nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scopeside.dashboard.page import Page
from scopeside.dashboard.shelf import Shown

MOST = 8
"""Acquisitions that are told of, the newest."""

Pixel = dict[str, Any]
"""``size`` [rows, columns] in ``unit`` (m or rad), ``axis_names``; of angles also
``wavelength_m`` and ``centre_px`` where they are known."""

_SCAN = ("scan_y", "scan_x")
_FRAME = ("y", "x")
_PLANCK_J_S, _ELECTRON_KG, _LIGHT_M_S, _CHARGE_C = (
    6.62607015e-34,
    9.1093837139e-31,
    299792458.0,
    1.602176634e-19,
)


class Scales:
    """Tells under the topic ``scales`` the pixels of acquisitions: scan and frame."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._known: dict[str, dict[str, Pixel | None]] = {}
        page.on_status(self._look)

    def of(self, shown: Shown) -> Pixel | None:
        """Return the pixel of a result; None where it is not known."""
        known = self._known.get(str(shown.result.meta.get("acq")))
        if known is None:
            return None
        return pixel_of(known, shown.result.axes, shown.result.meta)

    def _look(self, status: Mapping[str, Any]) -> None:
        said = {**status.get("acquisitions", {}), **status.get("open", {})}
        self._known = {
            acq: pixels(one["acquisition"])
            for acq, one in list(said.items())[-MOST:]
            if isinstance(one, Mapping) and "acquisition" in one
        }
        self._page.tell("scales", self._known)


def pixels(acquisition: Mapping[str, Any]) -> dict[str, Pixel | None]:
    """Return the pixel of the ``scan`` and that of a ``frame`` of an acquisition.

    Parameters
    ----------
    acquisition
        As `Acquisition.to_dict` has it.
    """
    said = acquisition.get("calibration") or {}
    step, angle = _pair(said.get("scan_step_m")), _pair(said.get("detector_rad_per_px"))
    length = _pair(said.get("pixel_size_m"))
    # A frame is an image of the specimen in a movie or a tilt series; behind a scan it
    # is what the camera sees of one position.
    is_image = acquisition.get("kind") in {"movie", "tilt_series"}
    frame: Pixel | None = None
    if is_image and length is not None:
        frame = {"size": length, "unit": "m", "axis_names": _FRAME}
    elif angle is not None:
        frame = {"size": angle, "unit": "rad", "axis_names": _FRAME, **_around(said)}
    scan: Pixel | None = None
    if step is not None:
        scan = {"size": step, "unit": "m", "axis_names": _SCAN}
    return {"scan": scan, "frame": frame}


def pixel_of(
    known: Mapping[str, Pixel | None], axes: Sequence[str], meta: Mapping[str, Any]
) -> Pixel | None:
    """Return the pixel of an image with these axes; None for any that are not named."""
    if set(_SCAN) <= set(axes):
        return known["scan"]
    frame = known["frame"]
    if frame is None or not set(_FRAME) <= set(axes):
        return None
    binning = meta.get("binning", 1)
    if not isinstance(binning, int) or binning == 1:
        return frame
    binned = {**frame, "size": [one * binning for one in frame["size"]]}
    if "centre_px" in frame:  # of pixels that begin at the same edge
        binned["centre_px"] = [(c + 0.5) / binning - 0.5 for c in frame["centre_px"]]
    return binned


def wavelength_m(energy_eV: float) -> float:  # noqa: N803 - the unit is written so
    """Return the wavelength of electrons of a kinetic energy, relativistically."""
    energy_J = energy_eV * _CHARGE_C  # noqa: N806
    rest_J = _ELECTRON_KG * _LIGHT_M_S**2  # noqa: N806
    return _PLANCK_J_S * _LIGHT_M_S / math.sqrt(energy_J * (energy_J + 2 * rest_J))


def _around(said: Mapping[str, Any]) -> Pixel:
    """Return where the angle is 0, and the wavelength, as far as they are known."""
    found: Pixel = {}
    centre = said.get("centre_px")
    if (
        isinstance(centre, list | tuple)
        and len(centre) == 2
        and all(map(_is_number, centre))
    ):
        found["centre_px"] = [float(one) for one in centre]
    energy: Any = said.get("beam_energy_eV")
    if _is_number(energy) and energy > 0:
        found["wavelength_m"] = wavelength_m(float(energy))
    return found


def _pair(value: Any) -> list[float] | None:
    """Return a size of rows and one of columns; None where no size above 0 is said."""
    numbers = value if isinstance(value, list | tuple) else (value, value)
    if len(numbers) != 2 or not all(_is_number(one) and one > 0 for one in numbers):
        return None
    return [float(one) for one in numbers]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
