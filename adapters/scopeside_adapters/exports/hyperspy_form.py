"""How HyperSpy describes a signal: axes, metadata, original metadata.

After "HyperSpy HDF5 specification" and "Metadata structure" in the documentation of
HyperSpy and RosettaSciIO (form 3.3). Neither library is needed, nor loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.export.axes import Axis
from scopeside.export.exporter import Source
from scopeside_adapters.exports.facts import number, started

FORM = "3.3"
NONE = "_None_"
_SHOWN = {"m": (1e9, "nm"), "rad": (1e3, "mrad"), "s": (1.0, "s"), "": (1.0, NONE)}
"""What HyperSpy's own examples and readers of electron microscopy use, from SI."""


def axis_of(axis: Axis) -> dict[str, Any]:
    """Return the attributes of the group ``axis-N``."""
    factor, units = _SHOWN[axis.unit]
    return {
        "_type": "UniformDataAxis",
        "name": axis.name,
        "units": units,
        "navigate": axis.navigate,
        "is_binned": False,
        "size": axis.size,
        "scale": axis.scale * factor,
        "offset": axis.offset * factor,
    }


def metadata_of(source: Source, title: str) -> dict[str, Any]:
    """Return ``metadata``: what HyperSpy has names for."""
    acquisition = source.run.acquisition
    general: dict[str, Any] = {"title": title}
    began = started(source)
    if began is not None:
        general |= {
            "date": began.date().isoformat(),
            "time": began.time().isoformat(timespec="microseconds"),
            "time_zone": "UTC",
        }
    found: dict[str, Any] = {"General": general, "Signal": {"signal_type": ""}}
    instrument = _tem(acquisition.calibration, scanned=acquisition.scan is not None)
    if acquisition.detector:
        camera = instrument.setdefault("Detector", {}).setdefault("Camera", {})
        camera["name"] = acquisition.detector
    if instrument:
        found["Acquisition_instrument"] = {"TEM": instrument}
    return found


def _tem(said: Mapping[str, Any], *, scanned: bool) -> dict[str, Any]:
    """Return ``Acquisition_instrument.TEM``: keV, mm, mrad, s."""
    values = {
        "beam_energy": (number(said, "beam_energy_eV"), 1e-3),
        "camera_length": (number(said, "camera_length_m"), 1e3),
        "convergence_angle": (number(said, "semi_angle_rad"), 1e3),
        "magnification": (number(said, "magnification"), 1.0),
    }
    found: dict[str, Any] = {
        name: value * factor
        for name, (value, factor) in values.items()
        if value is not None
    }
    exposure_s = number(said, "exposure_s", "frame_time_s")
    if exposure_s is not None:
        found["Detector"] = {"Camera": {"exposure": exposure_s}}
    if found and scanned:
        found["acquisition_mode"] = "STEM"
    return found
