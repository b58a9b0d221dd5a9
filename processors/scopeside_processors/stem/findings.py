"""What was measured, as results, and as the table ``calibration`` of an acquisition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result, invalid
from scopeside_processors.stem.beam import Beam
from scopeside_processors.stem.descan import SIGNIFICANT
from scopeside_processors.stem.rings import NO_RING
from scopeside_processors.stem.rotation import Rotation

FloatArray = npt.NDArray[np.float64]

KEYS = {
    "centre": "centre_px",
    "descan": "descan_px",
    "ellipse": "ellipse",
    "rotation": "scan_rotation_rad",
    "rad_per_px": "detector_rad_per_px",
}
"""Which key of the table a result becomes."""
_UNKNOWN = (
    "neither ring nor ring_d_m is set, and semi_angle_rad of the acquisition is unknown"
)


def centre(beam: Beam, stands_on: Mapping[str, Any]) -> Result:
    """Return ``centre``: (2,) float64, pixels."""
    disk = beam.disk
    if disk.reason:
        return invalid("centre", disk.reason, **stands_on)
    hot = int(np.count_nonzero(beam.hot))
    about = {"sigma": _plain(disk.sigma[:2]), "hot": hot, "com_px": _plain(beam.com)}
    return _numbers("centre", disk.ellipse.centre, "px", about, stands_on)


def radius(beam: Beam, stands_on: Mapping[str, Any]) -> Result:
    """Return ``radius``, pixels, of the circle of the disk's area."""
    disk = beam.disk
    if disk.reason:
        return invalid("radius", disk.reason, **stands_on)
    meta = {"sigma": disk.sigma[2], "edge_px": disk.width}
    return Result("radius", disk.radius, "scalar", units="px", meta=meta, **stands_on)


def ellipse(beam: Beam, stands_on: Mapping[str, Any]) -> Result:
    """Return ``ellipse``: (2,), ratio of the axes, and angle of the long one, rad.

    Of the rings where there are any, else of the disk.
    """
    rings = beam.rings
    if rings is not None and not rings.reason:
        found, sigma, of = rings.ellipse, rings.sigma[2:4], "ring"
    elif beam.disk.reason:
        return invalid("ellipse", beam.disk.reason, **stands_on)
    else:
        found, sigma, of = beam.disk.ellipse, beam.disk.sigma[3:], "disk"
    error, size = math.hypot(*sigma) / math.sqrt(2), math.hypot(*found.stretch)
    angle = error / (2 * size) if size > error else math.pi / 2
    about = {
        "sigma": [found.ratio * error, angle],
        "of": of,
        "significant": size > SIGNIFICANT * error,
    }
    values = (found.ratio, found.angle_rad)
    return _numbers("ellipse", values, "ratio, rad", about, stands_on)


def descan(beam: Beam, stands_on: Mapping[str, Any], *, scan: bool) -> Result:
    """Return ``descan``: (2, 3) float64, pixels, as ``descan_px`` has it."""
    reason = beam.descan.reason if scan else "there is no scan"
    if reason:
        return invalid("descan", reason, **stands_on)
    planes = beam.descan.planes
    sigma = [_plain(row) for row in beam.descan.sigma]
    about = {"sigma": sigma, "significant": bool(planes[:, 1:].any())}
    return _numbers("descan", planes, "px", about, stands_on)


def rotation(found: Rotation, stands_on: Mapping[str, Any]) -> Result:
    """Return ``rotation``, rad; ``meta`` has the parity, `flip`."""
    if found.reason:
        return invalid("rotation", found.reason, **stands_on)
    about = {
        **stands_on["meta"],
        "sigma": found.sigma,
        "flip": found.flip,
        "sign_is_known": found.sign_is_known,
        "curl": found.curl,
    }
    stands_on = {**stands_on, "meta": about}
    return Result("rotation", found.angle_rad, "scalar", units="rad", **stands_on)


def rad_per_px(
    beam: Beam, semi_angle_rad: float | None, stands_on: Mapping[str, Any]
) -> Result:
    """Return ``rad_per_px``: (2,), along rows and columns; both are the same.

    From the rings, if they were asked for, else from the size of the disk. Ring or
    disk are made round first: the ellipse says the rest.
    """
    name, rings, disk = "rad_per_px", beam.rings, beam.disk
    if rings is not None:
        if rings.reason:
            return invalid(name, NO_RING, **stands_on)
        value, error = rings.rad_per_px, rings.sigma[4]
        about: dict[str, Any] = {"of": "ring", "rings": rings.used}
    else:
        reason = _UNKNOWN if semi_angle_rad is None else disk.reason
        if semi_angle_rad is None or reason:
            return invalid(name, reason, **stands_on)
        value = semi_angle_rad / disk.radius
        error, about = value * disk.sigma[2] / disk.radius, {"of": "semi_angle_rad"}
    about["sigma"] = [error, error]
    return _numbers(name, (value, value), "rad/px", about, stands_on)


def table(found: Mapping[str, Result], stands_on: Mapping[str, Any]) -> Result:
    """Return ``calibration``: what was found, by the keys of an acquisition's table.

    What is not significant is left out: a circle, a beam that does not wander.
    ``meta`` says what is missing, and why, and on which frames the rotation stands.
    """
    keys: dict[str, Any] = {}
    for name, key in KEYS.items():
        one = found[name]
        if one.valid and one.meta.get("significant", True):
            plain = one.data.tolist() if isinstance(one.data, np.ndarray) else one.data
            keys[key] = plain
    turned = found["rotation"]
    if turned.valid:
        keys["flip"] = turned.meta["flip"]
    if not keys:
        return invalid("calibration", found["centre"].reason, **stands_on)
    meta = {
        "missing": {name: one.reason for name, one in found.items() if not one.valid},
        "rotation": [turned.first, turned.frame, turned.used],
    }
    return Result("calibration", keys, "event", meta=meta, **stands_on)


def _numbers(
    name: str,
    values: Any,
    units: str,
    about: Mapping[str, Any],
    stands_on: Mapping[str, Any],
) -> Result:
    data = np.array(values, np.float64)
    axes = ("term",) if name == "ellipse" else ("yx", "term")[: data.ndim]
    return Result(
        name, data, "table", units=units, axes=axes, meta=dict(about), **stands_on
    )


def _plain(values: Any) -> list[float | None]:
    """Return numbers as a list, None where there is none."""
    return [float(value) if math.isfinite(value) else None for value in values]
