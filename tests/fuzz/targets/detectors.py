"""What detectors send: Merlin, DECTRIS, Timepix3, EPICS, and their REST interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
from tests.adapters.dectris.detecting import frames_of as some_frames
from tests.adapters.dectris.detecting import series_of
from tests.adapters.epics.arrays import fields, image
from tests.adapters.merlin import messages as merlin_messages
from tests.doubles import MemorySink
from tests.fuzz.edge import at_edge, room, untouched_before
from tests.fuzz.mutate import join, split
from tests.fuzz.target import Target

from scopeside.errors import ProtocolError, ScopesideError, SourceError
from scopeside.strangers import from_msgpack
from scopeside_adapters.dectris import stream1, stream2
from scopeside_adapters.dectris.compose import end_of, image_of, start_of
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.events import ImageRead, SeriesDescribed, SeriesStarted
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CAREFULLY,
    CODEC,
    ELEMENT,
    HEIGHT,
    ITEM,
    KIND,
    LZ4_BARE,
    LZ4_FRAMED,
    RAW,
    SIZE,
    WIDTH,
    Rows,
    new_rows,
)  # fmt: skip
from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.simplon import Simplon
from scopeside_adapters.epics.decode import decode_into
from scopeside_adapters.epics.encode import pack
from scopeside_adapters.epics.protocol import CODECS, TYPES, ArrayFields, frame_of
from scopeside_adapters.medipix import FrameHeader, PixelFormat
from scopeside_adapters.medipix_pixels import unpack
from scopeside_adapters.merlin.control import ControlParser, encode, parse_reply
from scopeside_adapters.merlin.protocol import FrameReceived, HeaderReceived
from scopeside_adapters.merlin.survey import Survey
from scopeside_adapters.rest import RestApi
from scopeside_adapters.timepix3 import csr_writer, image_writer
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.csr import ChunkFollows, CsrParser, ScanStarted
from scopeside_adapters.timepix3.delivery import Delivery
from scopeside_adapters.timepix3.images import read_header
from scopeside_adapters.timepix3.layout import LAYOUTS, layout_from_serval
from scopeside_adapters.timepix3.protocol import Clusters, RawParser
from scopeside_adapters.timepix3.scan import ScanPlan
from scopeside_adapters.timepix3.serval import Serval, with_ours

_LARGEST = 1 << 16
"""Bytes that a message or the pixels of an image may have here."""


# -- Merlin ---------------------------------------------------------------------------


def merlin(data: bytes) -> None:
    """Take the events of a stream that comes in three pieces; it always gets on."""
    cuts = [0, len(data) // 3, len(data) // 2, len(data)]
    found, stream = merlin_messages.feed(
        [data[a:b] for a, b in pairwise(cuts)], _LARGEST
    )
    assert len(found) <= len(data) + 1
    assert len(stream.data) <= max(4096, 2 * _LARGEST)
    for event in found:
        if isinstance(event, HeaderReceived):
            msgpack.packb(event.header.metadata())
            assert event.header.frames >= 0


def _merlin() -> list[bytes]:
    return [
        merlin_messages.series(range(1, 3)),
        merlin_messages.frame(1, "U08", rows=4) + merlin_messages.frame(2),
        merlin_messages.frame(1, depth=24, rows=2),
    ]


def merlin_survey(data: bytes) -> None:
    """Look for frames like the first: the kernel reads nothing behind the end."""
    raw = _merlin_frames()
    (event,), _ = merlin_messages.feed([raw[: len(raw) // 2]])
    assert isinstance(event, FrameReceived)
    survey = Survey.like(event, bytearray(raw))
    array = at_edge(data)
    assert 0 <= survey.look(array, 0, len(array)) <= len(array) // survey.message


@cache
def _merlin_frames() -> bytes:
    return merlin_messages.frame(1) + merlin_messages.frame(2)


def merlin_control(data: bytes) -> None:
    """Read what comes on the control socket, and each as a reply."""
    parser = ControlParser()
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        with suppress(ProtocolError):
            for payload in parser.feed(piece):
                with suppress(ProtocolError):
                    parse_reply(payload)


def _merlin_control() -> list[bytes]:
    said = ["GET,DETECTORSTATUS,1,0", "SET,NUMFRAMES,2", "CMD,STARTACQUISITION,0"]
    return [b"".join(map(encode, said)), encode(said[0])]


def medipix(data: bytes) -> None:
    """Read a frame's header, and the pixels behind it where they are all there."""
    header = FrameHeader.parse(data)
    pixels = PixelFormat.of(header)
    stop = header.offset + pixels.stored_bytes
    if stop <= len(data):
        array = at_edge(data[:stop])
        height, width = pixels.frame_shape
        flat = room(height * width, pixels.dtype)
        out = flat.reshape(1, height, width)
        unpack(array, np.array([header.offset]), pixels, out, flip=True)
        assert untouched_before(flat)


def _medipix() -> list[bytes]:
    kinds = [("R64", 6), ("R64", 12), ("R64", 1), ("R64", 24), ("U16", 12)]
    return [merlin_messages.frame(1, kind, depth, rows=2)[15:] for kind, depth in kinds]


# -- DECTRIS --------------------------------------------------------------------------


def _stream(reader: Any, data: bytes) -> None:
    """Read a message in the loop, else with care; an image lies within the message."""
    parts = split(data)
    parcel = Parcel.of([parts])
    parcel.data = at_edge(parcel.data.tobytes())
    rows = reader.rows(parcel)
    if rows[0, KIND] != CAREFULLY:
        _lies_inside(rows, parcel.bytes)
        return
    for event in reader.events(parcel, 0):
        match event:
            case ImageRead(row):
                _lies_inside(np.atleast_2d(row), parcel.bytes)
            case SeriesStarted(_, facts) | SeriesDescribed(facts):
                msgpack.packb([facts.metadata, facts.calibration])


def _lies_inside(rows: Rows, size: int) -> None:
    at, n = int(rows[0, AT]), int(rows[0, SIZE])
    assert at >= 0
    assert n >= 0
    assert at + n <= size


def _dectris(stream: Any, **options: Any) -> list[bytes]:
    series = series_of(some_frames(n=2), stream, **options)
    said = [start_of(series, stream), image_of(series, stream, 1)]
    return [join(parts) for parts in (*said, end_of(series, stream))]


def images_coded(data: bytes) -> None:
    """Decode an image as its row says; the first bytes choose the row."""
    head, blob = data[:4].ljust(4, b"\0"), data[4:]
    rows = new_rows(1)
    item = (1, 2, 4)[head[0] % 3]
    height, width = 1 + head[1] % 24, 1 + head[2] % 24
    rows[0, [HEIGHT, WIDTH, ITEM]] = height, width, item
    rows[0, CODEC] = (RAW, BSLZ4, LZ4_FRAMED, LZ4_BARE)[head[3] & 3]
    rows[0, ELEMENT] = (0, 1, 2, 3, 4, 8)[(head[3] >> 2) % 6]
    rows[0, SIZE] = len(blob)
    flat = room(height * width * item)
    pixels = flat.view(f"<u{item}").reshape(1, height, width)
    _decoder().decode(at_edge(blob), rows, pixels)
    assert untouched_before(flat)


@cache
def _decoder() -> Decoder:
    return Decoder(1)


def _images_coded() -> list[bytes]:
    frames = some_frames(n=1)
    height, width = frames.shape[1:]
    found = []
    for number, name in ((1, "bslz4"), (3, "lz4"), (2, "lz4")):
        stream = "v2" if number == 2 else "v1"
        blobs = series_of(frames, stream, name).blobs["threshold_1"]
        head = bytes([1, height - 1, width - 1, number | 2 << 2])
        found.append(head + blobs[0])
    return found


# -- Timepix3 -------------------------------------------------------------------------

_PLANS = (
    ScanPlan("line", 8, 6, frame_tdc=2, reorder_s=1e-6),
    ScanPlan("line", 300, None, active_s=1e-5, counter_step=1, reorder_s=1e-6),
    ScanPlan("pixel", 8, 6, duty=0.8, reorder_s=1e-6),
    ScanPlan("frame", 8, 6, period_s=1e-4, reorder_s=1e-6),
    ScanPlan("none", 1, 100, period_s=1e-4, reorder_s=1e-6, delay_ns=10.0),
)


def tpx3(data: bytes) -> None:
    """Take raw words, in pieces, and hand on what they come to.

    The first byte chooses the signal, what an event counts, and the layout.
    """
    chosen, words = data[0] if data else 0, at_edge(data[1:], "<i8")
    plan = _PLANS[chosen % 5]
    layout = LAYOUTS["quad" if chosen & 64 else "single"]
    clusters = Clusters(160, 1) if chosen & 128 else None
    parser = RawParser(
        layout, plan, value="tot" if chosen & 32 else "count", clusters=clusters,
        hits_per_s=1e6,
    )  # fmt: skip
    memory = parser.memory
    parser.memory = room(len(memory), np.int64)
    parser.memory[:] = memory
    sink = MemorySink(capacity=64, words=1 << 10)
    delivery = Delivery(parser.memory, sink, _acquisition_of(plan), live=False)
    middle = len(words) // 2
    for begin, stop in ((0, middle), (middle, len(words))):
        _feed(parser, delivery, words, begin, stop)
    parser.finish()
    delivery.deliver_all()
    assert untouched_before(parser.memory)
    counts = parser.memory[k.COUNTS]
    assert counts[:10].min() >= 0


def _feed(
    parser: RawParser, delivery: Delivery, words: Any, begin: int, stop: int
) -> None:
    m = parser.memory
    for _ in range(4 * (stop - begin) + 4):
        begin = parser.feed(words, begin, stop)
        delivery.deliver(int(m[k.NOW] - m[k.REORDER]))
        if begin == stop:
            return
        while m[k.FREE] == 0 or m[k.NEXT_ENTRY] - m[k.OLD_ENTRY] > m[k.LINE_MASK] - 2:
            delivery.deliver_oldest()
    raise AssertionError("it does not come to an end")


def _acquisition_of(plan: ScanPlan) -> Any:
    from scopeside.acquisition import Acquisition

    def about(name: str) -> Acquisition:
        return Acquisition(
            name, (256, 256), np.dtype("<u2"), frames=plan.frames, encoding="events"
        )

    return about


def _tpx3() -> list[bytes]:
    lines = []
    for line in range(8):
        at = 20_000 + 10_000 * line
        rise, fall = w.tdc(w.TDC1_RISE, line, at), w.tdc(w.TDC1_FALL, line, at + 6000)
        hits = w.hits([5, 9, 5], [7, 7, 8], [at + 10, at + 900, at + 950], [40, 3, 9])
        parts = [rise.reshape(1), fall.reshape(1), hits]
        lines.append(w.chunk(np.concatenate([*parts, w.packet_id(line)])))
    times = w.chunk(np.concatenate([w.global_time(10_000), w.control(0xF, 12_000)]))
    words = np.concatenate([times, *lines]).astype("<u8").tobytes()
    return [bytes([chosen]) + words for chosen in (0, 1, 2, 3, 4, 128, 160)]


def csr(data: bytes) -> None:
    """Read the messages of a sparse stream: headers, and what they announce."""
    parser, at = CsrParser(_LARGEST), 0
    while at + 32 <= len(data):
        event = parser.header(data[at : at + 32])
        at += 32
        size = 0
        if isinstance(event, ScanStarted):
            size = event.metadata_bytes
        if isinstance(event, ChunkFollows):
            size = event.size
            body = data[at : at + size]
            if len(body) == size:
                parser.events(event, memoryview(at_edge(body)))
        at += size


def _csr() -> list[bytes]:
    bounds = np.array([0, 1, 1, 3], "<u8").tobytes()
    index, value = np.array([3, 0, 15], "<u2").tobytes(), bytes([1, 2, 3])
    head = csr_writer._padded(
        csr_writer.struct.pack("<BBIIII", 2, 2, 3, 3, len(bounds), len(bounds) + 6)
    )
    return [
        csr_writer.acquisition_start((1, 3), (4, 4), bounds=5, indices=3)
        + csr_writer.scan_start(0, {"a": 1})
        + (head + bounds + index + value)
        + csr_writer.scan_end(0)
        + csr_writer.acquisition_end(0)
    ]


def image_stream(data: bytes) -> None:
    """Read the header of an image."""
    found = read_header(data, 0, len(data), _LARGEST)
    if found is not None:
        assert 0 < found.header_bytes <= len(data)
        assert found.size <= _LARGEST
        msgpack.packb(dict(found.metadata))


def _image_stream() -> list[bytes]:
    pixels = np.arange(12, dtype="<u2").reshape(3, 4)
    more = {"thresholdID": 0, "integrationSize": 3, "integrationMode": "sum"}
    return [
        image_writer.jsonimage(pixels, frameNumber=1, timeAtFrame=0.5, **more),
        image_writer.pgm(pixels),
        b"P5 # a comment\n4 3\n255\n" + bytes(12),
    ]


# -- EPICS ----------------------------------------------------------------------------


def ntndarray(data: bytes) -> None:
    """Check a structure and unpack its pixels; the first part has its numbers."""
    head, *rest = split(data) or [b""]
    said = from_msgpack_or(head, {})
    value = np.frombuffer(rest[0] if rest else b"", np.uint8)
    kind = TYPES[said.get("kind", 0) % len(TYPES)] if _whole(said, "kind") else None
    if kind is not None and not said.get("codec"):
        value = value[: len(value) // kind.itemsize * kind.itemsize].view(kind)
    try:
        about = ArrayFields(value, **_typed(said))
    except TypeError:
        return
    frame = frame_of(about)
    if frame is None or frame.size > 64 * len(data):
        return  # the sink compares it with the acquisition before there is room for it
    height, width = frame.shape
    flat = room(height * width, frame.dtype)
    decode_into(frame, flat.reshape(height, width))
    assert untouched_before(flat)


def from_msgpack_or(data: bytes, usual: dict[str, Any]) -> dict[str, Any]:
    """Return a map of plain values, or what is usual."""
    with suppress(ValueError):
        found = from_msgpack(data)
        if isinstance(found, dict):
            return found
    return usual


def _whole(said: dict[str, Any], name: str) -> bool:
    return type(said.get(name)) is int


def _typed(said: dict[str, Any]) -> dict[str, Any]:
    """Return fields of the types that the channel gives them."""
    sizes = said.get("dimension", ())
    found: dict[str, Any] = {"attributes": said.get("attributes", {})}
    if not isinstance(found["attributes"], dict):
        raise TypeError
    if not isinstance(sizes, list) or not all(type(n) is int for n in sizes):
        raise TypeError
    for name in ("unique_id", "compressed_size", "uncompressed_size"):
        if not _whole(said, name):
            raise TypeError
        found[name] = said[name]
    if not isinstance(said.get("codec"), str):
        raise TypeError
    return {
        **found,
        "dimension": tuple(sizes),
        "codec": said["codec"],
        "parameters": said.get("parameters"),
        "stamps": ((1_700_000_000, 5),),
    }


def _ntndarray() -> list[bytes]:
    found = []
    for codec in ("", *CODECS):
        frame = image("u1" if codec == "jpeg" else "<u2")
        about = fields(frame)
        packed = pack(frame, codec) if codec else None  # type: ignore[arg-type]
        raw = frame.tobytes() if packed is None else packed.tobytes()
        head = {
            "kind": TYPES.index(frame.dtype),
            "dimension": list(about.dimension),
            "unique_id": 1,
            "compressed_size": len(raw),
            "uncompressed_size": frame.nbytes,
            "codec": codec,
            "parameters": TYPES.index(frame.dtype) if codec else None,
            "attributes": {"ColorMode": 0, "a": 0.5},
        }
        found.append(join([msgpack.packb(head), raw]))
    return found


# -- REST -----------------------------------------------------------------------------


class _Api(RestApi):
    """Answers every question with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.name = "it"
        self._answer = answer

    def _ask(self, verb: str, path: str, body: Any, timeout_s: float | None) -> Any:
        return self._value(f"{verb} {path}", 200, self._answer)


def simplon(data: bytes) -> None:
    """Ask a DECTRIS detector all there is to ask, and be answered so."""
    detector = object.__new__(Simplon)
    detector.name, detector._api = "it", _Api(data)
    detector._version, detector._timeout_s = "1.8.0", 1.0
    for ask in (
        detector.state,
        detector.dropped,
        detector.described,
        detector.frame_bytes,
        detector.arm,
        detector._ask_version,
        lambda: detector.make_ready(initialize=False),
        lambda: detector.problems_with_stream("v2"),
        lambda: detector.configure({"compression": "none"}),
    ):
        with suppress(SourceError):
            ask()


def serval(data: bytes) -> None:
    """Ask a Serval all there is to ask, and be answered so."""
    one = object.__new__(Serval)
    one.name, one._api = "it", _Api(data)
    for ask in (
        one.dashboard,
        one.check_detector,
        one.status,
        one.dropped,
        lambda: layout_from_serval(one.layout()).tables(),
        lambda: one.configure({"a": 1}),
        lambda: with_ours(one.destination(), {"Base": "tcp://x"}),
    ):
        with suppress(SourceError):
            ask()


def _answers() -> list[bytes]:
    chip = b'{"Chip": 0, "X": 0, "Y": 0, "Orientation": "LtRTtB"}'
    return [
        b'{"value": "idle", "allowed_values": ["none"], "sequence id": 5}',
        b'{"value": 12}',
        b'"1.8.0"',
        b'{"Detector": {"DetectorType": "Tpx3"}, "Measurement": '
        b'{"Status": "DA_IDLE", "DroppedFrames": 3}}',
        b'{"Original": {"Chips": [' + chip + b"]}}",
        b'{"Raw": [{"Base": "tcp://y"}], "Image": []}',
    ]


def targets() -> Sequence[Target]:
    """Return them."""
    wire = (ProtocolError,)
    return (
        Target("merlin", merlin, _merlin, ()),
        Target("merlin_survey", merlin_survey, lambda: [_merlin_frames()], ()),
        Target("merlin_control", merlin_control, _merlin_control, ()),
        Target("medipix", medipix, _medipix, wire),
        Target("stream1", lambda data: _stream(stream1.Reader(), data),
               lambda: _dectris("v1", detail="all"), wire, parts=True),
        Target("stream2", lambda data: _stream(stream2.Reader(), data),
               lambda: _dectris("v2"), wire, parts=True),
        Target("images_coded", images_coded, _images_coded, ()),
        Target("tpx3", tpx3, _tpx3, wire, base=64 << 20),
        Target("csr", csr, _csr, wire),
        Target("image_stream", image_stream, _image_stream, wire),
        Target("ntndarray", ntndarray, _ntndarray, wire, parts=True),
        Target("simplon", simplon, _answers, ()),
        Target("serval", serval, _answers, (ScopesideError,)),
    )  # fmt: skip
