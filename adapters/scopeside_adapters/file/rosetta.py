"""All other formats, through RosettaSciIO.

It is under the GPL and therefore loaded only here, only when a file needs it.
Lazy (dask) data are read in blocks of at most 128 MiB.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import MissingExtraError, SourceError
from scopeside_adapters.file.calibration import angle, duration, length
from scopeside_adapters.file.frames import (
    MEMORY_LIMIT,
    Array,
    ArrayFrames,
    Facts,
    FrameLostError,
    Frames,
    Layout,
    pixel_dtype,
)

log = logging.getLogger(__name__)

_BLOCK = 128 << 20
_ENERGIES_KEV = (1.0, 3000.0)  # others are not keV, whatever the file means

Signal = Mapping[str, Any]


def open_rosetta(path: Path, key: str | None) -> Frames:
    """Read `path` with the plug-in for its suffix; `key` chooses among signals.

    `key` is a signal's number, from 0, or its title.
    """
    failures = []
    for plugin in _plugins(path):
        try:
            signals = _read(path, plugin)
        except (MissingExtraError, SourceError):
            raise
        except Exception as error:  # noqa: BLE001 - plug-ins raise anything
            failures.append(f"as {plugin['name']}: {error}")
            last = error
            continue
        return _frames(_choose(signals, key), plugin["name"])
    raise SourceError("; ".join(failures)) from last


class LazyFrames(Frames):
    """Frames of a dask array (rows, columns, height, width), block by block."""

    def __init__(self, data: Any, facts: Facts) -> None:
        super().__init__(facts)
        self._data = data
        self._block = np.empty((0, *facts.frame_shape), data.dtype)
        self._start = 0

    def read_into(self, first: int, out: Array) -> None:
        """Copy out of the block in memory, computing the next when it is used up."""
        done = 0
        while done < len(out):
            at = first + done - self._start
            if not 0 <= at < len(self._block):
                self._load(first + done)
                continue
            n = min(len(out) - done, len(self._block) - at)
            frames = self._block[at : at + n]
            np.copyto(out[done : done + n], frames, casting="safe")
            done += n

    def close(self) -> None:
        """Drop the array, and with it the file."""
        self._data = None
        self._block = np.empty((0, *self.facts.frame_shape), self.facts.dtype)

    def _load(self, first: int) -> None:
        """Compute a block with frame `first`: whole chunks, if they are not large."""
        _, columns, height, width = self._data.shape
        frame_bytes = height * width * self._data.dtype.itemsize
        row, column = divmod(first, columns)
        fit = max(1, _BLOCK // frame_bytes)
        if columns <= fit:
            n = max(1, min(self._data.chunksize[0], fit // columns))
            row -= row % n
            part, self._start = self._data[row : row + n], row * columns
        else:
            n = max(1, min(self._data.chunksize[1], fit))
            column -= column % n
            part = self._data[row, column : column + n]
            self._start = row * columns + column
        try:
            block = part.compute(scheduler="synchronous")
        except Exception as error:  # whatever the plug-in's reader raises
            raise FrameLostError(
                f"frame {first} cannot be read: {error}", frame=first
            ) from error
        self._block = np.asarray(block).reshape(-1, height, width)


def _plugins(path: Path) -> list[dict[str, Any]]:
    try:
        from rsciio import IO_PLUGINS  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path.name}", "RosettaSciIO", "formats"
        ) from error
    suffix = path.suffix.lstrip(".").lower()
    found = [
        plugin
        for plugin in IO_PLUGINS
        if suffix in (known.lower() for known in plugin["file_extensions"])
    ]
    if not found:
        raise SourceError(f"no reader is known for the suffix {path.suffix!r}")
    return found


def _read(path: Path, plugin: dict[str, Any]) -> list[Signal]:
    """Let a plug-in read, lazily if it can; its warnings go to the log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = importlib.import_module(plugin["api"])
        except ImportError as error:
            raise MissingExtraError(
                f"reading {path.name}", str(error.name), "formats"
            ) from error
        try:
            signals: list[Signal] = module.file_reader(str(path), lazy=True)
        except NotImplementedError:
            size = path.stat().st_size
            if size > MEMORY_LIMIT:
                raise SourceError(
                    f"{plugin['name']} files can only be read as a whole, and this "
                    f"one has {size} bytes; the limit is {MEMORY_LIMIT}"
                ) from None
            signals = module.file_reader(str(path), lazy=False)
    for warning in caught:
        log.debug("%s: %s", path, warning.message)
    return signals


def _choose(signals: list[Signal], key: str | None) -> Signal:
    usable = [i for i, signal in enumerate(signals) if _is_images(signal)]
    titles = [_title(signal) for signal in signals]
    listed = ", ".join(f"{i}: {titles[i]!r} {signals[i]['data'].shape}" for i in usable)
    if key is not None:
        chosen = [i for i in usable if key in (str(i), titles[i])]
        if len(chosen) != 1:
            raise SourceError(f"key = {key!r} is not one of {listed}")
        return signals[chosen[0]]
    if not usable:
        shapes = [signal["data"].shape for signal in signals]
        raise SourceError(f"it holds no images; what it holds has the shapes {shapes}")
    if len(usable) > 1:
        raise SourceError(f"it holds {listed}; choose one with key")
    return signals[usable[0]]


def _is_images(signal: Signal) -> bool:
    """Whether the last two axes are an image, not those of a spectrum."""
    axes = signal["axes"]
    spectra = sum(not axis.get("navigate", False) for axis in axes) == 1
    return signal["data"].ndim >= 2 and not spectra


def _title(signal: Signal) -> str:
    return str(signal["metadata"].get("General", {}).get("title", ""))


def _frames(signal: Signal, name: str) -> Frames:
    data = signal["data"]
    title = _title(signal)
    layout = Layout.of(data.shape)
    facts = Facts(
        frame_shape=layout.frame_shape,
        dtype=pixel_dtype(data.dtype),
        count=layout.count,
        expected=layout.count,
        scan_shape=layout.scan_shape,
        calibration=_calibration(signal),
        metadata={"format": name} | ({"title": title} if title else {}),
    )
    if isinstance(data, np.ndarray):
        return ArrayFrames(data.reshape(-1, *layout.frame_shape), facts)
    while data.ndim < 4:
        data = data[None]
    return LazyFrames(data, facts)


def _calibration(signal: Signal) -> dict[str, float]:
    """Return what is said in units that are understood."""
    tem = signal["metadata"].get("Acquisition_instrument", {}).get("TEM", {})
    energy = float(tem.get("beam_energy") or 0.0)
    axes = signal["axes"]
    navigation = [axis for axis in axes if axis.get("navigate")]
    pixels = axes[-2:]
    found = {
        "beam_energy_eV": energy * 1e3
        if _ENERGIES_KEV[0] <= energy <= _ENERGIES_KEV[1]
        else None,
        "detector_rad_per_px": _common(pixels, angle),
        "scan_step_m": _common(navigation, length) if len(navigation) == 2 else None,
        "pixel_size_m": _common(pixels, length) if len(navigation) < 2 else None,
        "frame_time_s": _common(navigation, duration) if len(navigation) == 1 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _common(axes: list[Mapping[str, Any]], convert: Any) -> float | None:
    """Return what all `axes` say alike; None if one differs or says nothing."""
    values = [
        convert(float(axis.get("scale") or 0.0), axis.get("units")) for axis in axes
    ]
    if None in values or not np.allclose(values, values[0], rtol=1e-4, atol=0.0):
        return None
    return float(values[0])
