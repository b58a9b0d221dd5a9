"""Runs the dectris detector against its simulator, and builds messages for both."""

from __future__ import annotations

import datetime
import threading
import time
from contextlib import contextmanager

import cbor2
import numpy as np
import pytest
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris import compose, stream1, stream2
from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.simulator import (
    DectrisSimulator,
    DectrisSimulatorParams,
    Oddities,
)
from scopeside_adapters.dectris.source import DectrisDetector
from scopeside_adapters.faults import Faults

PATIENCE_S = 30.0
SHAPE = (12, 16)
DTYPES = ["uint8", "uint16", "uint32"]
COMPRESSIONS = ["none", "lz4", "bslz4"]
STREAMS = ["v1", "v2"]


def frames_of(dtype="uint16", n=8, shape=SHAPE, seed=1):
    counts = np.random.default_rng(seed).poisson(2.0, (n, *shape))
    frames = counts.astype(np.dtype(dtype))
    frames[:, 0, 0] = np.iinfo(dtype).max  # a masked pixel
    return frames


def series_of(frames, stream, compression="bslz4", **options):
    """A series that sends `frames`; `channels` gives further ones by name."""
    channels = {"threshold_1": frames, **options.pop("channels", {})}
    config = {"trigger_mode": "exts", "nimages": 1, "ntrigger": len(frames)}
    return compose.Series(
        series=options.pop("series", 7),
        shape=frames.shape[1:],
        dtype=frames.dtype,
        images=len(frames),
        compression=compression,
        detail=options.pop("detail", "basic"),
        blobs={
            name: compose.compress(array, compression, stream)
            for name, array in channels.items()
        },
        config={**config, "frame_time": 1e-3, **options.pop("config", {})},
        **options,
    )


def reader_of(stream, channel=""):
    return stream1.Reader() if stream == "v1" else stream2.Reader(channel)


def parcel_of(*messages):
    """A parcel that can be written to, as those of a receiver."""
    parcel = Parcel.of(list(messages))
    parcel.data = parcel.data.copy()
    return parcel


def image_v2(**changes):
    """An image of stream V2 as its plain map, changed; `_` in a name is kept."""
    said = {
        "type": "image",
        "series_id": 7,
        "image_id": 3,
        "start_time": [4950, 50_000_000],
        "series_date": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "user_data": None,
        "data": {"threshold_1": array_v2(np.arange(6, dtype="<u2").reshape(2, 3))},
        **changes,
    }
    said = {name: value for name, value in said.items() if value is not ...}
    return cbor2.dumps(cbor2.CBORTag(55799, said))


def array_v2(pixels, tag=69):
    return cbor2.CBORTag(40, [list(pixels.shape), cbor2.CBORTag(tag, pixels.tobytes())])


def until(condition, sink=None):
    """Wait for a condition; say what a `sink` was told if it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        told = sink and (sink.notes, sink.ends, sink.rejects, sink.gaps)
        assert time.monotonic() < deadline, f"it never came: {told}"
        time.sleep(0.002)


@contextmanager
def simulating(*, faults=None, oddities=None, **params):
    table = {
        "api_port": 0,
        "port": 0,
        "shape": SHAPE,
        "frames": 40,
        "distinct": 8,
        **params,
    }
    with DectrisSimulator(
        DectrisSimulatorParams.model_validate(table),
        Faults(faults or {}),
        oddities or Oddities(),
    ) as simulator:
        yield simulator


def detector_for(simulator, **table):
    params = DectrisDetector.Params.model_validate(
        {
            "host": "127.0.0.1",
            "api_port": simulator.api_port,
            "port": simulator.port,
            "stream": simulator.params.stream,
            **table,
        }
    )
    return DectrisDetector(params, AcquisitionSettings())


def arming(n=40, **table):
    """The settings of a detector that arms a series of `n` images itself."""
    return {"arm": True, "trigger_mode": "ints", "nimages": n, "ntrigger": 1, **table}


@contextmanager
def running(detector, sink=None):
    """Run the detector in a thread; give its sink."""
    sink = sink or MemorySink(capacity=8)
    errors = []

    def run():
        try:
            with pytest.raises(StopRequested):
                detector.run(sink)
        except BaseException as error:  # noqa: BLE001 - given to the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: sink.notes or sink.acquisitions or errors)
        yield sink
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


@contextmanager
def listening(simulator, sink=None, **table):
    """Run a detector that somebody else arms, linked to its stream."""
    with running(detector_for(simulator, **table), sink) as filled:
        until(lambda: simulator.is_connected)
        yield filled


def said(sink):
    """What was rejected, by cause."""
    found = {}
    for n, cause, _ in sink.rejects:
        found[cause] = found.get(cause, 0) + n
    return found
