"""What the headers of both streams tell, in our words and units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside_adapters.dectris.encoding import dtype_named
from scopeside_adapters.dectris.events import Facts
from scopeside_adapters.dectris.images import MOST_PIXELS

MOST_EXPECTED = 10**9
"""Who asks for more images wants them without an end."""
_LONGEST = 200
_LARGEST = 1e300

_V2_CALIBRATION = {
    "incident_energy": "beam_energy_eV",
    "frame_time": "frame_time_s",
    "count_time": "exposure_s",
}
_V1_CALIBRATION = {
    "photon_energy": "beam_energy_eV",
    "incident_energy": "beam_energy_eV",
    "frame_time": "frame_time_s",
    "count_time": "exposure_s",
}
_LARGE = ("flatfield", "pixel_mask", "countrate_correction_lookup_table")
_NO_METADATA = {"type", "htype", "series", "series_id", *_LARGE}


def facts_of_v1(said: Mapping[str, Any]) -> Facts:
    """Return what a configuration of stream V1 tells.

    The shape of the images is left to the images: with a region of interest or
    binning the configuration tells that of the whole detector.
    """
    return Facts(
        expected=_expected_v1(said),
        calibration=_calibration(said, _V1_CALIBRATION),
        metadata={"stream": "V1", **_metadata(said)},
    )


def facts_of_v2(said: Mapping[str, Any]) -> Facts:
    """Return what a start message of stream V2 tells."""
    width, height = said.get("image_size_x"), said.get("image_size_y")
    shape = None
    if _is_whole(width, 1, MOST_PIXELS) and _is_whole(height, 1, MOST_PIXELS):
        shape = (int(height or 0), int(width or 0))
    expected = said.get("number_of_images")
    channels = said.get("channels")
    if not isinstance(channels, list | tuple):
        channels = ()
    return Facts(
        frame_shape=shape,
        dtype=dtype_named(said.get("image_dtype")),
        expected=expected if _is_whole(expected, 1, MOST_EXPECTED) else None,
        channels=tuple(str(name) for name in channels[:16]),
        calibration=_calibration(said, _V2_CALIBRATION),
        metadata={"stream": "V2", **_metadata(said)},
    )


def images_in_series(trigger_mode: Any, nimages: Any, ntrigger: Any) -> int | None:
    """Return how many images a series will have; None if that cannot be told.

    One image a trigger where the trigger says how long to expose (API 1.8,
    "trigger_mode").
    """
    if not (_is_whole(ntrigger, 1, MOST_EXPECTED)):
        return None
    if trigger_mode in ("inte", "exte"):
        return int(ntrigger)
    if trigger_mode not in ("ints", "exts"):
        return None
    if not _is_whole(nimages, 1, MOST_EXPECTED):
        return None
    images = int(nimages) * int(ntrigger)
    return images if images <= MOST_EXPECTED else None


def _expected_v1(said: Mapping[str, Any]) -> int | None:
    return images_in_series(
        said.get("trigger_mode"), said.get("nimages"), said.get("ntrigger")
    )


def _calibration(said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for name, ours in names.items():
        value = said.get(name)
        # Compared first: a whole number of CBOR may be too large for a float.
        if isinstance(value, int | float) and 0 < value < _LARGEST:
            found[ours] = float(value)
    return found


def _metadata(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain and short values; tables of the detector's size stay out."""
    found = {}
    for name, value in said.items():
        if isinstance(name, str) and name not in _NO_METADATA:
            plain = _plain(value, 3)
            if plain is not None:
                found[name[:_LONGEST]] = plain
    return found


def _plain(value: Any, depth: int) -> Any:
    """Return what JSON can say of `value`, cut to a sensible size; None if nothing."""
    if isinstance(value, bool | str):
        return value[:_LONGEST] if isinstance(value, str) else value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value[:16]]
    if depth and isinstance(value, Mapping):
        return {
            str(key)[:_LONGEST]: _plain(item, depth - 1)
            for key, item in list(value.items())[:64]
        }
    return None


def _is_whole(value: Any, least: int, most: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and least <= value <= most
