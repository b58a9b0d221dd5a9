"""The channels during one acquisition: samples, times of frames, and what they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.collect.samples import MAX_FRAMES, FrameTimes, Samples
from scopeside.join import FloatArray, IntArray, join_series
from scopeside.result import Result, invalid
from scopeside.settings import ChannelSettings
from scopeside.wire import Buffer, Kind, Message, encode

MAX_SAMPLES = 1 << 20
"""Samples of a channel that an acquisition keeps: 16 MiB. Beyond, the oldest go."""


class Joined:
    """What is known of the channels during one acquisition."""

    def __init__(
        self,
        acquisition: Acquisition,
        settings: Mapping[str, ChannelSettings],
        before: Mapping[str, Samples],
    ) -> None:
        self.times = FrameTimes(acquisition.frames)
        self._acquisition = acquisition
        self._settings = settings
        self._samples = {name: ring.copy(MAX_SAMPLES) for name, ring in before.items()}

    def add(self, name: str, times: IntArray, values: FloatArray) -> None:
        """Take samples of a channel."""
        self._samples[name].add(times, values)

    def results(self, *, live: bool = False) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result).

        Processor ``channels``: a value for each frame, (frames,) float64, NaN and
        masked where no sample belongs to it. ``map``: the same by probe position, where
        there is a scan. ``samples``: the samples themselves, as a table; not if `live`.
        """
        index, times = self.times.known
        for name, one in self._settings.items():
            joined = self._join(name, times)
            yield "channels", self._series(one, index, joined)
            if self._acquisition.scan is not None:
                yield "map", self._map(one, index, joined)
            if not live:
                yield "samples", self._table(one, times)

    def samples(self) -> Iterator[tuple[str, IntArray, FloatArray]]:
        """Yield (channel, times, values) of all samples that are joined from."""
        for name, samples in self._samples.items():
            yield name, samples.times, samples.values

    def account(self) -> dict[str, dict[str, int]]:
        """Return for each channel what there was and what became of it."""
        _, times = self.times.known
        found = {}
        for name in self._settings:
            joined = int(np.count_nonzero(~np.isnan(self._join(name, times))))
            within = self._within(name, times)
            found[name] = {
                "samples": within.stop - within.start,
                "dropped": self._samples[name].dropped,
                "joined": joined,
                "without_sample": len(times) - joined,
            }
        return found

    # -- the journal ------------------------------------------------------------

    def to_record(self) -> list[Buffer]:
        """Return all of it as one message."""
        index, times = self.times.known
        header = {
            "acq": self._acquisition.id,
            "beyond": self.times.beyond,
            "samples": [[name, s.dropped] for name, s in self._samples.items()],
        }
        payload: list[Buffer] = [index.tobytes(), times.tobytes()]
        for samples in self._samples.values():
            payload += [samples.times.tobytes(), samples.values.tobytes()]
        return encode(Kind.CHANNELS, header, payload)

    def from_record(self, message: Message) -> None:
        """Take over what `to_record` gave."""
        index, times, *arrays = message.payload
        self.times = FrameTimes(self._acquisition.frames)
        self.times.add(np.frombuffer(index, np.int64), np.frombuffer(times, np.int64))
        self.times.beyond = message.header["beyond"]
        for k, (name, dropped) in enumerate(message.header["samples"]):
            samples = self._samples[name] = Samples(MAX_SAMPLES)
            samples.add(
                np.frombuffer(arrays[2 * k], np.int64),
                np.frombuffer(arrays[2 * k + 1], np.float64),
            )
            samples.dropped = dropped

    # ---------------------------------------------------------------------------

    def _join(self, name: str, times: IntArray) -> FloatArray:
        one, samples = self._settings[name], self._samples[name]
        return join_series(
            times, samples.times, samples.values, one.tolerance_ns, one.join
        )

    def _within(self, name: str, times: IntArray) -> slice:
        """Return which samples lie within the tolerance of any frame, about."""
        if not len(times):
            return slice(0, 0)
        tolerance_ns = self._settings[name].tolerance_ns
        bounds = [times.min() - tolerance_ns, times.max() + tolerance_ns + 1]
        first, end = np.searchsorted(self._samples[name].times, bounds)
        return slice(int(first), int(end))

    def _stands_on(self, index: IntArray, joined: FloatArray) -> dict[str, Any]:
        there = index[~np.isnan(joined)]
        if not len(there):
            return {"expected": self._acquisition.frames}
        return {
            "first": int(there[0]),
            "frame": int(there[-1]),
            "used": len(there),
            "expected": self._acquisition.frames,
        }

    def _meta(self, one: ChannelSettings, joined: FloatArray) -> dict[str, Any]:
        return {
            "join": one.join,
            "tolerance_s": one.tolerance_s,
            "offset_s": one.offset_s,
            "without_sample": int(np.count_nonzero(np.isnan(joined))),
        }

    def _series(
        self, one: ChannelSettings, index: IntArray, joined: FloatArray
    ) -> Result:
        stands_on = self._stands_on(index, joined)
        if "used" not in stands_on:
            return invalid(one.name, self._why_not(one, len(index)), **stands_on)
        length = max(min(self._acquisition.frames or 0, MAX_FRAMES), int(index[-1]) + 1)
        series = np.full(length, np.nan)
        series[index] = joined
        return self._result(one, series, joined, stands_on)

    def _map(self, one: ChannelSettings, index: IntArray, joined: FloatArray) -> Result:
        scan = self._acquisition.scan
        assert scan is not None
        position = scan.position_of(index)
        there = (position >= 0) & ~np.isnan(joined)
        stands_on = self._stands_on(index[there], joined[there])
        if "used" not in stands_on:
            return invalid(one.name, self._why_not(one, len(index)), **stands_on)
        image = np.full(scan.positions, np.nan)
        image[position[there]] = joined[there]
        image = image.reshape(scan.shape)
        return self._result(one, image, joined, stands_on)

    def _result(
        self,
        one: ChannelSettings,
        data: FloatArray,
        joined: FloatArray,
        stands_on: dict[str, Any],
    ) -> Result:
        there = ~np.isnan(data)
        return Result(
            one.name,
            data,
            "series" if data.ndim == 1 else "image",
            mask=None if there.all() else there,
            units=one.unit,
            axes=("frame",) if data.ndim == 1 else ("scan_y", "scan_x"),
            meta=self._meta(one, joined),
            **stands_on,
        )

    def _table(self, one: ChannelSettings, times: IntArray) -> Result:
        """Return the samples: (n, 2) float64, time after ``t0_ns`` in ns, and value."""
        samples, within = self._samples[one.name], self._within(one.name, times)
        t, values = samples.times[within], samples.values[within]
        if not len(t):
            return invalid(one.name, self._why_not(one, len(times)))
        t0 = int(t[0])  # differences to it are exact in a float64 for 104 days
        return Result(
            one.name,
            np.column_stack([t - t0, values]).astype(np.float64),
            "table",
            units=one.unit,
            axes=("sample", "column"),
            meta={
                "columns": ["t_ns - t0_ns", "value"],
                "t0_ns": t0,
                "dropped": samples.dropped,
                "offset_s": one.offset_s,
            },
        )

    def _why_not(self, one: ChannelSettings, frames: int) -> str:
        n = len(self._samples[one.name])
        if not n:
            return "no sample came"
        if not frames:
            return "no frame came whose time is known"
        return f"none of {n} samples lies within {one.tolerance_s:g} s of a frame"
