"""A result that is an array, as a signal of HyperSpy with calibrated axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.export.axes import Axis, detector_axes, scan_axis
from scopeside.export.exporter import Source
from scopeside.result import Result
from scopeside_adapters.exports.facts import tree_of
from scopeside_adapters.exports.hspy import write_signal
from scopeside_adapters.exports.hyperspy_form import metadata_of

_PIXELS = (("y", "x"), ("detector_y", "detector_x"), ("ky", "kx"))
"""Names that the axes of a frame go by."""


def write_result(source: Source, stem: str, result: Result, target: Path) -> list[str]:
    """Write ``NAME.hspy`` into the folder `target`; return the names of files.

    A result without an array, or with an empty one, has none.
    """
    if not isinstance(result.data, np.ndarray) or not result.data.shape:
        return []
    if not result.data.size:  # HyperSpy does not open it
        return []
    data = result.data.view(np.uint8) if result.data.dtype == bool else result.data
    metadata = metadata_of(source, stem)
    if result.units:
        metadata["Signal"]["quantity"] = f"{result.name} ({result.units})"
    name = f"{stem}.hspy"
    write_signal(
        target / name,
        stem,
        data,
        axes=axes_of_result(result, source.run.acquisition),
        metadata=metadata,
        original={**tree_of(source), "result": _told(result)},
    )
    return [name]


def axes_of_result(result: Result, acquisition: Acquisition) -> list[Axis]:
    """Return the axes of a result, slowest first.

    An image of two axes is a signal as a whole. What else has a scan, or a frame, for
    its first axes is one signal for each of their places.
    """
    shape = result.data.shape
    names = list(result.axes) if len(result.axes) == len(shape) else []
    names = names or [f"axis_{k}" for k in range(len(shape))]
    said = acquisition.calibration
    axes = [scan_axis(said, name, n) for name, n in zip(names, shape, strict=True)]
    if shape[-2:] == acquisition.frame_shape and tuple(names[-2:]) in _PIXELS:
        axes[-2:] = detector_axes(said, acquisition.frame_shape)
    places = len(shape) - 2 if _is_image(names) else _leading(names)
    return [
        Axis(one.name, one.size, one.scale, one.offset, one.unit, k < places)
        for k, one in enumerate(axes)
    ]


def _is_image(names: list[str]) -> bool:
    """Whether the last two axes are an image."""
    last = tuple(names[-2:])
    return last == ("scan_y", "scan_x") or last in _PIXELS


def _leading(names: list[str]) -> int:
    """Return how many axes come before the value of each place."""
    scan = sum(name.startswith("scan") for name in names)
    return scan or min(1, len(names) - 1)


def _told(result: Result) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "name": result.name,
        "kind": result.kind,
        "units": result.units,
        "frames_used": result.used,
        "frames_expected": result.expected,
        "first_frame": result.first,
        "last_frame": result.frame,
        "meta": dict(result.meta),
    }
    if result.mask is not None:
        told["stands"] = result.mask.astype(np.uint8)
    return told
