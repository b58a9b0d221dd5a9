"""What no producer should send on the frame wire, and what it is refused for."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.wire import Buffer, Kind, encode
from scopeside_adapters.zmq.simulator import encode_batch

HUGE = 1 << 62


def acquisition(name: str = "a", **more: Any) -> Acquisition:
    return Acquisition(name, (4, 6), np.dtype("<u2"), **more)


def frames(n: int = 3) -> Any:
    return np.random.default_rng(2024).poisson(50, (n, 4, 6)).astype("<u2")


def start(name: str = "a", epoch: int = 0, **more: Any) -> list[Buffer]:
    said = {"acquisition": {**acquisition(name).to_dict(), **more}, "epoch": epoch}
    return encode(Kind.START, said)


def batch(at: int = 0, sent: int = 3, *parts: Buffer, **more: Any) -> list[Buffer]:
    """A BATCH of acquisition a; `more` replaces fields, None takes them away."""
    envelope, header, *payload = encode_batch({"acq": "a"}, frames(sent), at)
    said = {**msgpack.unpackb(header), **more}
    said = {key: value for key, value in said.items() if value is not None}
    return [envelope, msgpack.packb(said), *payload, *parts]


def end(total: float, name: str = "a", **more: Any) -> list[Buffer]:
    return encode(Kind.END, {"acq": name, "total": total, **more})


def _int64(*numbers: int) -> bytes:
    return np.array(numbers, "<i8").tobytes()


def _whole() -> list[Buffer]:
    return batch()


BATCHES: dict[str, tuple[list[Buffer], str]] = {
    "nothing": ([], "truncated"),
    "an empty part": ([b""], "truncated"),
    "an envelope alone": (_whole()[:1], "truncated"),
    "a cut envelope": ([b"SF", *_whole()[1:]], "truncated"),
    "another magic": ([b"HTTP", *_whole()[1:]], "wrong_magic"),
    "another version": ([b"SF\x02\x02", *_whole()[1:]], "wrong_version"),
    "an unknown kind": ([b"SF\x01\x63", *_whole()[1:]], "wrong_kind"),
    "CREDIT": ([b"SF\x01\x06", *_whole()[1:]], "wrong_kind"),
    "ACK": ([b"SF\x01\x07", *_whole()[1:]], "wrong_kind"),
    "a kind of the engine's own": ([b"SF\x01\x4b", *_whole()[1:]], "wrong_kind"),
    "PARAM": ([b"SF\x01\x04", *_whole()[1:]], "unsupported_kind"),
    "too many parts": ([*_whole(), *[b""] * 64], "oversized"),
    "a header of two megabytes": ([b"SF\x01\x02", bytes(2 << 20)], "oversized"),
    "a header that is no msgpack": ([b"SF\x01\x02", b"\xc1"], "wrong_header"),
    "a header that is cut": ([b"SF\x01\x02", _whole()[1][:-1]], "wrong_header"),
    "a header that is a list": ([b"SF\x01\x02", b"\x90"], "wrong_header"),
    "a header with numbers for names": (
        [b"SF\x01\x02", b"\x81\x01\x01"],
        "wrong_header",
    ),
    "a header without a bottom": (
        [b"SF\x01\x02", b"\x81\xa1x" + b"\x91" * 200 + b"\xc0"],
        "wrong_header",
    ),
    "an empty header": ([b"SF\x01\x02", b"\x80"], "wrong_header"),
    "a list of four billion items": (
        [b"SF\x01\x02", b"\xdd\xff\xff\xff\xff"],
        "wrong_header",
    ),
    "no acquisition": (batch(acq=None), "wrong_header"),
    "an acquisition that is a number": (batch(acq=7), "wrong_header"),
    "another acquisition": (batch(acq="b"), "not_started"),
    "an epoch to come": (batch(epoch=1), "not_started"),
    "a negative epoch": (batch(epoch=-1), "wrong_header"),
    "no frames": (batch(n=0), "wrong_header"),
    "frames of true": (batch(n=True), "wrong_header"),
    "three and a half frames": (batch(n=3.5), "wrong_header"),
    "more frames than may be": (batch(n=HUGE), "wrong_header"),
    "more frames than there are": (batch(n=4), "truncated"),
    "fewer frames than there are": (batch(n=2), "oversized"),
    "no first frame": (batch(first=None), "wrong_header"),
    "a negative first frame": (batch(first=-1), "wrong_header"),
    "frames beyond all numbers": (batch(first=HUGE), "wrong_header"),
    "another shape": (batch(shape=[6, 4]), "wrong_shape"),
    "a shape that is too large": (batch(shape=[HUGE, HUGE]), "wrong_shape"),
    "no shape": (batch(shape=None), "wrong_shape"),
    "another dtype": (batch(dtype="<f4"), "wrong_dtype"),
    "the other byte order": (batch(dtype=">u2"), "wrong_dtype"),
    "a dtype that is an object": (batch(dtype="|O8"), "wrong_dtype"),
    "a codec to come": (batch(codec="bslz4"), "unsupported_codec"),
    "pixels that are cut": ([*_whole()[:2], _whole()[2][:-1]], "truncated"),
    "no pixels": (_whole()[:2], "truncated"),
    "pixels twice": ([*_whole(), _whole()[2]], "oversized"),
    "a wrong digest": (batch(digest="0123456789abcdef"), "wrong_digest"),
    "a digest that is a list": (batch(digest=[]), "wrong_digest"),
    "indices that did not come": (batch(index=True), "truncated"),
    "an index below zero": (batch(0, 3, _int64(0, -1, 2), index=True), "wrong_header"),
    "an index beyond all": (
        batch(0, 3, _int64(0, HUGE, 2), index=True),
        "wrong_header",
    ),
    "times that did not come": (batch(t_ns=True), "truncated"),
    "a time before all time": (
        batch(0, 3, _int64(-1, 1, 2), t_ns=True),
        "wrong_header",
    ),
    "a time that is a float": (batch(t_ns=1.5), "wrong_header"),
    "a time beyond all time": (batch(t_ns=(1 << 64) - 1), "wrong_header"),
    "a number of the batch below zero": (batch(seq=-1), "wrong_header"),
    "END without a total": (encode(Kind.END, {"acq": "a"}), "wrong_header"),
    "END with half a frame": (end(0.5), "wrong_header"),
    "END in a state of its own": (end(0, state="splendid"), "wrong_header"),
    "END of another": (end(0, "b"), "not_started"),
    "GAP backwards": (
        encode(Kind.GAP, {"acq": "a", "first": 5, "last": 4}),
        "wrong_header",
    ),
    "GAP with a novel for a cause": (
        encode(Kind.GAP, {"acq": "a", "first": 5, "last": 6, "cause": "x" * 99}),
        "wrong_header",
    ),
    "START again": (start(), "duplicate"),
}
"""What comes after a START of acquisition a, and the cause of refusal."""


def _deep(levels: int) -> Any:
    return [] if levels == 0 else [_deep(levels - 1)]


_VAST = {"shape": [1 << 20, 1 << 20]}

STARTS: dict[str, tuple[list[Buffer], str]] = {
    "no acquisition": (encode(Kind.START, {}), "wrong_header"),
    "events": (start(encoding="events"), "wrong_header"),
    "an acquisition that is a list": (
        encode(Kind.START, {"acquisition": []}),
        "wrong_header",
    ),
    "no id": (start(id=None), "wrong_header"),
    "an id that is a path": (start(id="../../etc"), "wrong_header"),
    "an id that is a number": (start(id=3), "wrong_header"),
    "no shape": (start(shape=None), "wrong_header"),
    "a shape of one number": (start(shape=[4]), "wrong_header"),
    "a shape of nothing": (start(shape=[0, 6]), "wrong_header"),
    "a shape that is too large": (start(shape=[HUGE, HUGE]), "oversized"),
    "a dtype that is a structure": (start(dtype="u2,u2"), "wrong_header"),
    "a dtype that is an object": (start(dtype="|O8"), "wrong_header"),
    "a dtype that is not there": (start(dtype="<u3"), "wrong_header"),
    "a float of one byte": (start(dtype="|f1"), "wrong_header"),
    "another kind": (start(kind="opera"), "wrong_header"),
    "half a frame": (start(frames=0.5), "wrong_header"),
    "fewer frames than none": (start(frames=-1), "wrong_header"),
    "more frames than there is room for": (start(frames=HUGE), "oversized"),
    "a scan that is a number": (start(scan=5), "wrong_header"),
    "a scan of nothing": (start(scan={"shape": [0, 5]}), "wrong_header"),
    "a scan that is too large": (
        start(scan=_VAST),
        "oversized",
    ),
    "few positions of a scan that is too large": (
        start(scan={**_VAST, "pattern": "positions", "visited": "AAAAAA=="}),
        "oversized",
    ),
    "many scans before the first frame": (
        start(scan={"shape": [2, 2], "scans": 1 << 40, "offset": 4 - (1 << 42)}),
        "oversized",
    ),
    "an offset beyond all numbers": (
        start(scan={"shape": [2, 2], "offset": -(1 << 63)}),
        "oversized",
    ),
    "a pattern of its own": (
        start(scan={"shape": [2, 2], "pattern": "spiral"}),
        "wrong_header",
    ),
    "a calibration that is not a number": (
        start(calibration={"pixel_size_m": float("nan")}),
        "wrong_header",
    ),
    "metadata that is bytes": (start(metadata={"x": b"\0"}), "wrong_header"),
    "metadata without a bottom": (start(metadata={"x": _deep(40)}), "wrong_header"),
    "metadata that is too long": (start(metadata={"x": "x" * 20_000}), "oversized"),
    "a start before all time": (start(started_ns=-1), "wrong_header"),
    "an epoch of its own": (
        encode(Kind.START, {"acquisition": acquisition().to_dict(), "epoch": "first"}),
        "wrong_header",
    ),
}
"""What no acquisition can begin with."""
